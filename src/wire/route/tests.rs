//! URLs as API 1 to 5 and the conformance cases 1 to 21 and 58 to 80 have them.

mod params;

use super::*;
use crate::base::prng::Prng;

const T: &str = "persistent://public/default/t";

fn read(target: &str) -> Result<Route, RouteError> {
    let mount = mount(target).expect("no redirect").expect("a mount");
    route(mount, target)
}

fn refused(target: &str) -> String {
    let error = read(target).expect_err(target);
    assert_eq!(error.status, 400, "{target}");
    error.message.strip_prefix("Invalid query params: ").expect("the prefix of API 2.1").to_owned()
}

fn producer(query: &str) -> ProducerSpec {
    match read(&format!("/ws/v2/producer/persistent/public/default/t?{query}")) {
        Ok(Route::Producer(spec)) => *spec,
        other => panic!("{query}: {other:?}"),
    }
}

fn consumer(tail: &str) -> ConsumerSpec {
    let target = format!("/ws/v2/consumer/persistent/public/default/{tail}");
    match read(&target) {
        Ok(Route::Consumer(spec)) => *spec,
        other => panic!("{target}: {other:?}"),
    }
}

fn reader(query: &str) -> ReaderSpec {
    match read(&format!("/ws/v2/reader/persistent/public/default/t?{query}")) {
        Ok(Route::Reader(spec)) => *spec,
        other => panic!("{query}: {other:?}"),
    }
}

fn multi(query: &str) -> Topics {
    match read(&format!("/ws/v3/consumer/s?{query}")) {
        Ok(Route::Consumer(spec)) => spec.topics,
        other => panic!("{query}: {other:?}"),
    }
}

fn topic_of(target: &str) -> String {
    match read(target).expect(target) {
        Route::Producer(spec) => spec.topic.to_string(),
        Route::Reader(spec) => spec.topic.to_string(),
        Route::Consumer(spec) => match spec.topics {
            Topics::One(topic) => topic.to_string(),
            other => panic!("{target}: {other:?}"),
        },
    }
}

#[test]
fn mounts() {
    for (target, expected) in [
        ("/ws/v2/producer/persistent/a/b/c", Some(Mount::Producer)),
        ("/ws/producer/x", Some(Mount::Producer)),
        ("/ws/v2/consumer/", Some(Mount::Consumer)),
        ("/ws/consumer/x?y", Some(Mount::Consumer)),
        ("/ws/v3/consumer/s", Some(Mount::MultiConsumer)),
        ("/ws/v2/reader/x", Some(Mount::Reader)),
        ("/ws/reader/x", Some(Mount::Reader)),
        ("http://h:80/ws/v2/reader/x", Some(Mount::Reader)),
        ("/ws/v3/producer/persistent/public/default/t", None),
        ("/ws/v2/nothing/x", None),
        ("/ws/v2/pingpong/x", None),
        ("/ws/v2/producers/x", None),
        ("/x?/ws/v2/producer/", None),
        ("/", None),
        ("", None),
        ("*", None),
        ("http://h", None),
    ] {
        assert_eq!(mount(target), Ok(expected), "{target}");
    }
    assert_eq!(mount("/ws/v2/producer"), Err("/ws/v2/producer/".to_owned()));
    assert_eq!(mount("/ws/consumer?a=b"), Err("/ws/consumer/?a=b".to_owned()));
}

#[test]
fn topics_in_paths() {
    for (target, topic) in [
        ("/ws/v2/producer/persistent/public/default/t", T),
        ("/ws/v2/producer/persistent/public/default/t/", T),
        ("/ws/v2/producer/persistent/public/default/t//", T),
        ("ws://h:8080/ws/v2/reader/persistent/public/default/t", T),
        ("/ws/v2/producer/persistent/public/default/a/b", "persistent://public/default/a/b"),
        ("/ws/v2/producer/persistent/public/default/a//b/", "persistent://public/default/a/b"),
        ("/ws/v2/consumer/persistent/public/default/a%2Fb/s", "persistent://public/default/a/b"),
        ("/ws/v2/producer/persistent/public/default/a%252Fb", "persistent://public/default/a%2Fb"),
        ("/ws/v2/producer/persistent/public/default/t%5B%5D%3C%3E", "persistent://public/default/t[]<>"),
        ("/ws/v2/reader/persistent/public/default/x+y%20z", "persistent://public/default/x y z"),
        (
            "/ws/v2/reader/persistent/public/default/x%2F%C3%A4+b%2F%E6%97%A5",
            "persistent://public/default/x/ä b/日",
        ),
        ("/ws/v2/producer/non-persistent/public/default/np", "non-persistent://public/default/np"),
        (
            "/ws/v2/producer/persistent/public/default/t-partition-1",
            "persistent://public/default/t-partition-1",
        ),
        ("/ws/producer/persistent/public/c1/default/t", "persistent://public/c1/default/t"),
        ("/ws/reader/persistent/public/c1/default/a/b", "persistent://public/c1/default/a/b"),
        ("/ws/consumer/persistent/public/c1/default/t/s", "persistent://public/c1/default/t"),
    ] {
        assert_eq!(topic_of(target), topic, "{target}");
    }
}

#[test]
fn paths_that_name_nothing() {
    for (target, text) in [
        ("/ws/v2/producer/persistent/public/t1", "Invalid topic name format"),
        ("/ws/v2/producer/", "Invalid topic name format"),
        ("/ws/v2/consumer/", "Invalid topic name format"),
        ("/ws/v2/producer/Persistent/public/default/t1", "Invalid topic domain: 'Persistent'"),
        ("/ws/v2/producer/persistent/public/default/", "Invalid topic name: "),
        ("/ws/v2/producer/persistent/public/default//t", "Invalid topic name: "),
        ("/ws/v2/producer/persistent/public/default/%20", "Invalid topic name: "),
        ("/ws/v2/producer/persistent/pub%6Cic/default/t", "Invalid topic name: "),
        ("/ws/v2/producer/persistent/public/default/%zz", "malformed % sequence in the path"),
        ("/ws/v2/consumer/persistent/public/default/a/b/s", "Invalid topic name format"),
        ("/ws/v2/consumer/persistent/public/default/t1/", "Empty subscription name"),
        ("/ws/v2/consumer/persistent/public/default/t1/+%20", "subscriptionName cannot be blank"),
        ("/ws/v2/consumer/persistent/public/default/t1", "Invalid topic name format"),
        ("/ws/v2/consumer/persistent/public/default/t1/s/", "Invalid topic name format"),
        ("/ws/v2/consumer/persistent/public/default/t1/%4", "malformed % sequence in the path"),
        ("/ws/v3/consumer/s", "Should set topics or topicsPattern"),
        ("/ws/v3/consumer/s?topics=a&topicsPattern=b", "Topics must be null when use topicsPattern"),
        ("/ws/v3/consumer/s?topics=", "topicNames cannot have blank topic"),
        ("/ws/v3/consumer/s?topics=a,,b", "topicNames cannot have blank topic"),
        ("/ws/v3/consumer/s?topics=a,b%2Fc", "Invalid topic name: "),
        ("/ws/v3/consumer/?topics=t1", "Empty subscription name"),
        ("/ws/v3/consumer/s?topicsPattern=", "Should set topics or topicsPattern"),
        ("/ws/v3/consumer/s?topicsPattern=a(", "Invalid topicsPattern a(: "),
        ("/ws/v3/consumer/s?topicsPattern=a)%7C(b", "Invalid topicsPattern a)|(b: "),
        ("/ws/v3/consumer/s?topicsPattern=((a%7B100%7D)%7B100%7D)%7B1000%7D", "Invalid topicsPattern "),
        ("/ws/v3/consumer/s?topicsPattern=x://a/b/.*", "Invalid topicsPattern "),
        ("/ws/v3/consumer/s?topicsPattern=persistent://a.*", "Invalid topicsPattern "),
    ] {
        let message = refused(target);
        assert!(message.starts_with(text), "{target}: {message}");
    }
}

/// Path first, then subscription, then parameters (API 2.2).
#[test]
fn the_first_fault_wins() {
    let bad = "?receiverQueueSize=x&a=%zz";
    assert_eq!(refused(&format!("/ws/v2/consumer/persistent/t1{bad}")), "Invalid topic name format");
    assert_eq!(refused(&format!("/ws/v2/consumer/persistent/p/d/t1/{bad}")), "Empty subscription name");
    assert_eq!(
        refused(&format!("/ws/v2/consumer/persistent/p/d/t1/s{bad}")),
        "malformed % sequence in the query"
    );
}

#[test]
fn subscriptions() {
    let tail = "t/my-subscription%5B%5D%3C%3E%21%40%23%24%25%5E%26*%28+%29";
    assert_eq!(consumer(tail).subscription, "my-subscription[]<>!@#$%^&*( )");
    assert_eq!(consumer("t/a%2Fb").subscription, "a/b");
    assert_eq!(consumer("t/+a").subscription, " a");
}

#[test]
fn many_topics() {
    let names = |topics| match topics {
        Topics::Many(topics) => topics.iter().map(ToString::to_string).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(names(multi("topics=t")), [T]);
    assert_eq!(
        names(multi("topics=t,non-persistent%3A%2F%2Fa%2Fb%2Fc,public/default/t, t")),
        [T, "non-persistent://a/b/c", "persistent://public/default/ t"]
    );
    match read("/ws/v3/consumer/s%20x/more/elements?topics=t&receiverQueueSize=7") {
        Ok(Route::Consumer(spec)) => assert_eq!((&*spec.subscription, spec.receiver_queue), ("s x", 7)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn patterns() {
    for (text, namespace, expression) in [
        ("persistent%3A%2F%2Fpublic%2Fdefault%2Ft.*", "public/default", "public/default/t.*"),
        ("public/default/t.*", "public/default", "public/default/t.*"),
        ("a/b/[^/]%2B", "a/b", "a/b/[^/]+"),
        ("a/cluster/b/.*", "a/cluster/b", "a/cluster/b/.*"),
        ("t-.*", "public/default", "public/default/t-.*"),
        ("[^/]*", "public/default", "public/default/[^/]*"),
    ] {
        let expected = Topics::Pattern {
            namespace: namespace.to_owned(),
            expression: expression.to_owned(),
            text: super::params::form_decode(text).expect("well formed").into_owned(),
        };
        assert_eq!(multi(&format!("topicsPattern={text}")), expected);
    }
}

#[test]
fn tokens() {
    assert_eq!(token("/ws/v2/reader/x?a=b&token=Bearer%20abc&token=d").as_deref(), Some("Bearer abc"));
    assert_eq!(token("/x?a=%zz&%74oken=a").as_deref(), Some("a"));
    assert_eq!(token("/x?token").as_deref(), Some(""));
    for target in ["/x", "/x?", "/x?Token=a", "/token=a", "/x?token=%zz"] {
        assert_eq!(token(target), None, "{target}");
    }
}

/// Whatever a client asks for, it gets a route or a refusal of bounded length.
#[test]
fn random_targets_never_panic() {
    let pieces = [
        "/ws/v2/producer/",
        "/ws/v2/consumer/",
        "/ws/v3/consumer/",
        "/ws/reader/",
        "persistent/",
        "public/",
        "default/",
        "t",
        "/",
        "?",
        "&",
        "=",
        "%2F",
        "%",
        "+",
        "topics=",
        "topicsPattern=",
        "messageId=",
        "encryptionKeys=",
        "(",
        "*",
        "receiverQueueSize=",
        "-1",
        "7",
        "\u{e9}",
        "://",
        ",",
        "persistent://",
        "token=",
        "deadLetterTopic=",
    ];
    let mut random = Prng::new(8);
    for round in 0..40_000 {
        let target: String = (0..random.below(14)).map(|_| pieces[random.below(30) as usize]).collect();
        drop(token(&target));
        let wanted = mount(&target);
        for mount in [Mount::Producer, Mount::Consumer, Mount::MultiConsumer, Mount::Reader] {
            // Under any mount: the caller decides, not the text.
            if let Err(error) = route(mount, &target) {
                assert_eq!(error.status, 400, "seed 8, round {round}: {target}");
                assert!(error.message.len() < 600, "seed 8, round {round}: {target}");
            }
        }
        assert!(wanted.is_ok() || target.starts_with("/ws/"), "seed 8, round {round}: {target}");
    }
}
