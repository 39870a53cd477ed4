//! What clients ask that concerns no producer or consumer.

use crate::client::Client;
use crate::world::World;
use pulsegate::broker::catalogue::AutoCreation;
use pulsegate::wire::pulsar::Command;
use pulsegate::wire::pulsar::proto as p;

const TOPIC: &str = "persistent://public/default/t";

fn look_up(client: &mut Client, world: &mut World, topic: &str) -> p::CommandLookupTopicResponse {
    let request_id = client.request();
    let ask = p::CommandLookupTopic { topic: topic.to_owned(), request_id, ..Default::default() };
    client.send(world, Command::Lookup(ask));
    match client.expect(world).command {
        Command::LookupResponse(answer) => answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_topic_is_where_the_client_is() {
    let mut world = World::new(2);
    for core in 0..2 {
        let mut client = Client::connect(&mut world, core);
        let answer = look_up(&mut client, &mut world, TOPIC);
        assert_eq!(answer.broker_service_url.as_deref(), Some("pulsar://10.0.0.9:6650"));
        assert_eq!((answer.response, answer.proxy_through_service_url), (Some(1), Some(true)));
        let answer = look_up(&mut client, &mut world, "persistent://public/nope/t");
        assert_eq!((answer.error, answer.message.as_deref()), (Some(11), Some("Namespace not found")));
        assert_eq!(look_up(&mut client, &mut world, "a/b").error, Some(17));
    }
}

#[test]
fn an_advertised_address_is_told_instead() {
    let mut world =
        World::with(1, |config| config.advertised = Some("pulsar://broker.example:6650".to_owned()));
    let mut client = Client::connect(&mut world, 0);
    let answer = look_up(&mut client, &mut world, TOPIC);
    assert_eq!(answer.broker_service_url.as_deref(), Some("pulsar://broker.example:6650"));
}

#[test]
fn a_plain_topic_has_no_partitions_and_asking_makes_none() {
    let mut world = World::new(2);
    let mut client = Client::connect(&mut world, 0);
    assert_eq!(client.partitions(&mut world, TOPIC, None), Ok(0));
    assert_eq!(client.partitions(&mut world, TOPIC, Some(false)), Err(11), "it was not made by the question");
    assert_eq!(client.partitions(&mut world, "persistent://public/nope/t", None), Err(11));
    assert_eq!(client.partitions(&mut world, "persistent://public/default/t-partition-3", None), Err(11));
}

#[test]
fn where_topics_are_made_partitioned_the_question_makes_the_record() {
    let settings = |config: &mut pulsegate::service::embedded::EmbeddedConfig| {
        config.policies.auto_creation = AutoCreation { allowed: true, partitions: Some(4) };
    };
    let mut world = World::with(2, settings);
    let mut client = Client::connect(&mut world, 0);
    assert_eq!(client.partitions(&mut world, TOPIC, Some(false)), Err(11));
    assert_eq!(client.partitions(&mut world, TOPIC, None), Ok(4));
    let mut other = Client::connect(&mut world, 1);
    assert_eq!(other.partitions(&mut world, TOPIC, Some(false)), Ok(4), "every core knows");
    assert_eq!(other.partitions(&mut world, &format!("{TOPIC}-partition-3"), None), Ok(0));
    assert_eq!(other.partitions(&mut world, &format!("{TOPIC}-partition-4"), None), Err(11));
    world.restart(3);
    let mut client = Client::connect(&mut world, 2);
    assert_eq!(client.partitions(&mut world, TOPIC, Some(false)), Ok(4), "also after a restart");
}

#[test]
fn an_empty_namespace_has_no_topics() {
    let mut world = World::new(3);
    let mut client = Client::connect(&mut world, 1);
    let ask = p::CommandGetTopicsOfNamespace {
        request_id: 9,
        namespace: "public/default".to_owned(),
        ..Default::default()
    };
    client.send(&mut world, Command::GetTopicsOfNamespace(ask));
    let Command::GetTopicsOfNamespaceResponse(answer) = client.expect(&mut world).command else { panic!() };
    assert_eq!((answer.topics.len(), answer.topics_hash.as_deref()), (0, Some("00000000")));
}

#[test]
fn too_many_connections_are_told_so() {
    let mut world = World::with(2, |config| config.connections_max = 2);
    let _first = Client::connect(&mut world, 0);
    let second = Client::connect(&mut world, 1);
    let third = world.connect(1);
    world.settle();
    let told = world.fetch(third);
    let frame = pulsegate::wire::pulsar::frame::read(&told).expect("a frame");
    let Command::Error(error) = frame.command else { panic!("refused") };
    assert_eq!((error.request_id, error.error), (u64::MAX, 22));
    world.settle();
    assert!(!world.is_open(third));
    world.cut(second.at);
    Client::connect(&mut world, 0);
}
