//! A host as its clients and administrators see it, case by case: making and deleting topics, policies, what survives a restart, and
//! the words and numbers of refusals (broker 2 to 4, 6.4).

#[path = "../sim_store/disk.rs"]
#[allow(dead_code, unreachable_pub)] // the disk's faults at rest are the store's own tests
mod disk;
mod policies;
mod topics;
mod world;
