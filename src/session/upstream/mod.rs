//! The client side of brokers: links, lookups, attachments.
