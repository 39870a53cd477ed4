//! What is read, what is refused and in which words (API 3.2, 4.3), and that both ways of reading agree.

use super::*;
use crate::base::prng::Prng;
use crate::wire::pulsar::message_id::MessageId;
use crate::wire::pulsar::proto::CompressionType;
use crate::wire::text::base64;
use crate::wire::text::command::{ClientCommand, CommandText, ReaderCommand};
use crate::wire::text::request::Request;

fn lenient<'a, T: Shape<'a>>(text: &'a str) -> Result<T, JsonError> {
    T::read(&mut Lenient::new(text.as_bytes())?)
}

/// Reads a request both ways; they must agree.
fn check(text: &str, look: impl FnOnce(Result<Option<Request<'_>>, JsonError>)) {
    let (mut reader, mut other) = (JsonReader::default(), JsonReader::default());
    let read = settled(reader.request(text.as_bytes()), || other.request_fault(text.as_bytes()));
    assert_eq!(read, lenient(text), "{text}");
    look(read);
}

/// What is known of a text once its payload was decoded.
fn settled<'a>(
    read: Result<Option<Request<'a>>, JsonError>,
    fault: impl FnOnce() -> Option<JsonError>,
) -> Result<Option<Request<'a>>, JsonError> {
    let request = read?;
    let payload = request.as_ref().and_then(|request| request.payload.as_deref());
    let sound = payload.is_none_or(|payload| base64::decode(payload, &mut Vec::new()).is_ok());
    match if sound { None } else { fault() } {
        Some(fault) => Err(fault),
        None => Ok(request),
    }
}

fn request(text: &str, look: impl FnOnce(Request<'_>)) {
    check(text, |read| look(read.expect(text).expect("not null")));
}

fn refused(text: &str) -> String {
    let mut message = String::new();
    check(text, |read| message = read.expect_err(text).message);
    message
}

#[test]
fn every_member_is_read() {
    let text = r#"{"payload":"SGVsbG8=","properties":{"k":"v","n":null},"context":"c","key":"key",
        "replicationClusters":["a",null],"eventTime":"t","sequenceId":7,"disableReplication":false,
        "deliverAt":-5,"deliverAfterMs":1,
        "schemaVersion":0,"keySchema":"a","valueSchema":null,"encryptionParam":"p","compressionType":"ZSTD",
        "uncompressedMessageSize":99,"x":[{"y":[1,{"z":{}}]},[]]}"#;
    let some = |text: &'static str| Some(Cow::Borrowed(text));
    request(text, |request| {
        let expected = Request {
            payload: Some(b"SGVsbG8=".into()),
            properties: vec![("k".into(), some("v")), ("n".into(), None)],
            context: some("c"),
            key: some("key"),
            replication_clusters: vec![some("a"), None],
            event_time: some("t"),
            deliver_at: -5,
            deliver_after_ms: 1,
            encryption_param: some("p"),
            compression: Some(CompressionType::Zstd),
            uncompressed_size: Some(99),
        };
        assert_eq!(request, expected);
    });
}

/// API 3.2; the texts are those of the conformance cases 83 to 106.
#[test]
fn leniencies_of_strings() {
    for (member, context) in [
        (r#""context":"""#, Some("")),
        (r#""context":12"#, Some("12")),
        (r#""context":-0"#, Some("-0")),
        (r#""context":1.50"#, Some("1.50")),
        (r#""context":1e3"#, Some("1e3")),
        (r#""context":99999999999999999999"#, Some("99999999999999999999")),
        (r#""context":true"#, Some("true")),
        (r#""context":false"#, Some("false")),
        (r#""context":null"#, None),
        (r#""Context":"x""#, None),
        (r#""context":"a","context":"b""#, Some("b")),
        (r#""context":"a","context":null"#, None),
        (r#""c\u006fntext":"a\u0053""#, Some("aS")),
        (
            r#""context":"\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t\u0001\u0000""#,
            Some("é😀\"\\/\u{8}\u{c}\n\r\t\u{1}\0"),
        ),
        (r#""context":"a\ud83dz\ude00\ud83d\u0041\ud83d""#, Some("a?z??A?")),
        (r#""context":"é😀\u2028""#, Some("é😀\u{2028}")),
    ] {
        request(&format!("{{{member}}}"), |request| {
            assert_eq!(request.context.as_deref(), context, "{member}")
        });
    }
}

#[test]
fn leniencies_of_the_whole_text() {
    for text in [
        r#"{"payload":"QQ=="} trailing"#,
        r#"{"payload":"QQ=="}{"payload":"AAAA"}"#,
        r#"{"payload":"AAAA","payload":"QQ=="}"#,
        "\n\t {\"payload\" :\r\n\"QQ==\"\t}\r\n",
        r#"{"payload":"QQ==","unknown":{"a":[1]},"properties":null}"#,
    ] {
        request(text, |request| {
            assert_eq!(request.payload.as_deref(), Some(&b"QQ=="[..]), "{text}");
            assert_eq!(request.properties, vec![]);
        });
    }
    check("null", |read| assert_eq!(read, Ok(None)));
    check(" null x", |read| assert_eq!(read, Ok(None)));
}

#[test]
fn leniencies_of_numbers() {
    for (value, number) in [
        ("10", 10),
        ("\"10\"", 10),
        ("\"+10\"", 10),
        ("\" -10 \"", -10),
        ("\"\"", 0),
        ("\"  \"", 0),
        ("null", 0),
        ("1.9", 1),
        ("-1.9", -1),
        ("1e3", 1000),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808", i64::MIN),
    ] {
        request(&format!("{{\"deliverAt\":{value}}}"), |request| {
            assert_eq!(request.deliver_at, number, "{value}")
        });
    }
    for (value, number) in
        [("null", None), ("\"\"", None), ("0", Some(0)), ("\"7\"", Some(7)), ("7.5", Some(7))]
    {
        request(&format!("{{\"uncompressedMessageSize\":{value}}}"), |request| {
            assert_eq!(request.uncompressed_size, number, "{value}");
        });
    }
    for value in ["true", "null", "1", "0", "-0", "\"True\"", "\"FALSE\"", "\"\"", "\" \""] {
        request(&format!("{{\"disableReplication\":{value}}}"), |request| {
            assert_eq!(request, Request::default())
        });
    }
}

#[test]
fn leniencies_of_words() {
    use CompressionType::{Lz4, None as Uncompressed, Snappy};
    for (value, compression) in [
        ("\"LZ4\"", Some(Lz4)),
        ("\"NONE\"", Some(Uncompressed)),
        ("4", Some(Snappy)),
        ("\"1\"", Some(Lz4)),
        ("5", None),
        ("-1", None),
        ("\"bogus\"", None),
        ("\"lz4\"", None),
        ("\"\"", None),
        ("null", None),
    ] {
        request(&format!("{{\"compressionType\":{value}}}"), |request| {
            assert_eq!(request.compression, compression, "{value}");
        });
    }
}

#[test]
fn later_properties_win_at_the_first_place() {
    for count in [3, 40] {
        let mut members: Vec<String> = (0..count).map(|number| format!("\"k{number}\":{number}")).collect();
        members.push("\"k1\":\"new\"".to_owned());
        members.push("\"k0\":null".to_owned());
        members.push("\"last\":true".to_owned());
        members.push("\"k1\":\"newer\"".to_owned());
        request(&format!("{{\"properties\":{{{}}}}}", members.join(",")), |request| {
            let names: Vec<_> = request.properties.iter().map(|(name, _)| name.to_string()).collect();
            let expected = (0..count).map(|number| format!("k{number}")).chain(["last".to_owned()]);
            assert_eq!(names, expected.collect::<Vec<_>>());
            assert_eq!(request.properties[0].1, None);
            assert_eq!(request.properties[1].1.as_deref(), Some("newer"));
            assert_eq!(request.properties[2].1.as_deref(), Some("2"));
        });
    }
}

/// Text, and how the original words its refusal (API 3.3, conformance cases 90 to 92): beginning and column.
const REFUSALS: &[(&str, &str, &str)] = &[
    ("not json", "Unrecognized token 'not': was expecting", "[line: 1, column: 4]"),
    (
        "[]",
        "Cannot deserialize value of type `org.apache.pulsar.websocket.data.ProducerMessage` from Array",
        "1]",
    ),
    (
        "\"x\"",
        "Cannot construct instance of `org.apache.pulsar.websocket.data.ProducerMessage`",
        "column: 1]",
    ),
    ("\"\"", "Cannot construct instance of `org.apache.pulsar.websocket.data.ProducerMessage`", "column: 1]"),
    ("", "No content to map due to end-of-input", "[line: 1, column: 1]"),
    ("   ", "No content to map due to end-of-input", "[line: 1, column: 4]"),
    ("1", "Cannot construct instance of `org.apache.pulsar.websocket.data.ProducerMessage`", "column: 1]"),
    (r#"{"payload":5"#, "Unexpected end-of-input: expected close marker for Object", "column: 13]"),
    (r#"{"payload":"SGVsbG8=","properties":"x"}"#, "Cannot construct instance of `java.util.", "column: 36]"),
    (r#"{"properties":{"n":{"a":1}}}"#, "Cannot deserialize value of type `java.lang.S", "column: 20]"),
    (
        r#"{"payload":"SGVsbG8=","context":{"a":1}}"#,
        "Cannot deserialize value of type `java.lang.String`",
        ": 33]",
    ),
    (
        r#"{"payload":["SGVsbG8="]}"#,
        "Cannot deserialize value of type `java.lang.String` from Array",
        ": 12]",
    ),
    (
        r#"{"payload":"","deliverAt":"x"}"#,
        "Cannot deserialize value of type `long` from String \"x\": not",
        ": 27]",
    ),
    (r#"{"deliverAt":true}"#, "Cannot deserialize value of type `long` from Boolean", "column: 14]"),
    (r#"{"deliverAt":99999999999999999999}"#, "Numeric value (99999999999999999999) out", "column: 14]"),
    (r#"{"deliverAt":1e19}"#, "Numeric value (1e19) out", "column: 14]"),
    (r#"{"uncompressedMessageSize":2147483648}"#, "Numeric value (2147483648) out of range of int", ": 28]"),
    (
        r#"{"disableReplication":"yes"}"#,
        "Cannot deserialize value of type `boolean` from String",
        "column: 23]",
    ),
    (
        r#"{"disableReplication":1.0}"#,
        "Cannot deserialize value of type `boolean` from Floating",
        "column: 23]",
    ),
    (r#"{"replicationClusters":"a"}"#, "Cannot construct instance of `java.util.ArrayList`", "column: 24]"),
    (
        r#"{"replicationClusters":{}}"#,
        "Cannot deserialize value of type `java.util.ArrayList` from Object",
        ": 24]",
    ),
    (r#"{"compressionType":true}"#, "Cannot deserialize value of type `org.apache", "column: 20]"),
    (
        "{'payload':''}",
        "Unexpected character (''' (code 39)): was expecting double-quote to start",
        "column: 2]",
    ),
    (r#"{payload:"SGVsbG8="}"#, "Unexpected character ('p' (code 112))", "column: 2]"),
    (
        r#"{"payload":"",}"#,
        "Unexpected character ('}' (code 125)): was expecting double-quote",
        "column: 15]",
    ),
    (r#"/* c */{"payload":"SGVsbG8="}"#, "Unexpected character ('/' (code 47))", "column: 1]"),
    (r#"{"x":NaN}"#, "Non-standard token 'NaN'", "column: 9]"),
    ("{\"context\":\"a\tb\"}", "Illegal unquoted character ((CTRL-CHAR, code 9))", "column: 14]"),
    ("\n{\u{1}", "Illegal character ((CTRL-CHAR, code 1))", "[line: 2, column: 2]"),
    ("\u{feff}{}", "Unexpected character ('\u{feff}' (code 65279 / 0xfeff))", "column: 1]"),
    (r#"{"x":01}"#, "Invalid numeric value: Leading zeroes", "column: 8]"),
    (r#"{"x":+1}"#, "Unexpected character ('+' (code 43))", "column: 6]"),
    (r#"{"x":-}"#, "Unexpected character ('}' (code 125)): expected digit", "column: 7]"),
    (r#"{"x":1.}"#, "Unexpected character ('}' (code 125)): Decimal point", "column: 8]"),
    (r#"{"x":[1,]}"#, "Unexpected character (']' (code 93))", "column: 9]"),
    (r#"{"x":1 "y":2}"#, "Unexpected character ('\"' (code 34)): was expecting comma", "column: 8]"),
    (r#"{"x" 1}"#, "Unexpected character ('1' (code 49)): was expecting a colon", "column: 6]"),
    (r#"{"x":"\x"}"#, "Unrecognized character escape 'x' (code 120)", "column: 8]"),
    (r#"{"x":"\u00é0"}"#, "Unexpected character ('é' (code 233)): expected a hex-digit", "column: 11]"),
    (r#"{"x":"abc"#, "Unexpected end-of-input: was expecting closing quote", "column: 10]"),
    (r#"{"x":truex}"#, "Unrecognized token 'truex'", "column: 11]"),
    (
        r#"{"x":[1}"#,
        "Unexpected character ('}' (code 125)): was expecting comma to separate Array",
        "column: 8]",
    ),
];

#[test]
fn refusals() {
    for (text, beginning, place) in REFUSALS {
        let message = refused(text);
        assert!(message.starts_with(beginning), "{text}: {message}");
        assert!(message.ends_with(place), "{text}: {message}");
    }
}

#[test]
fn refusals_repeat_little_of_the_text() {
    let long = "y".repeat(100_000);
    for text in [
        long.clone(),
        format!("\"{long}\""),
        format!("{{\"deliverAt\":\"{long}\"}}"),
        format!("{{\"deliverAt\":{}}}", "9".repeat(100_000)),
        format!("{{\"disableReplication\":\"{long}\"}}"),
        format!("{{\"properties\":\"{long}\"}}"),
        "9".repeat(100_000),
    ] {
        assert!(refused(&text).len() < 400);
    }
}

/// API 3.2: 1000 levels, the outermost object included.
#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    request(&nested(999), |_| ());
    assert!(
        refused(&nested(1000)).starts_with("Document nesting depth (1001) exceeds the maximum allowed (1000")
    );
    let hostile = "{\"x\":".repeat(200_000);
    assert!(refused(&hostile).starts_with("Document nesting depth"));
    request(&nested(FAST_DEPTH_MAX), |_| ());
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let mut reader = JsonReader::default();
    for text in [&b"\xff"[..], b"{\"context\":\"\xc3\x28\"}", b"{\"x\":\"\xed\xa0\x80\"}", b"{\"x\":1}\xff"] {
        assert!(reader.request(text).is_err(), "{text:?}");
    }
}

#[test]
fn commands_of_consumers() {
    let id = MessageId::plain(3, 0);
    for (text, command) in [
        (r#"{"messageId":"CAMQADAA"}"#, ClientCommand::Ack(id.clone())),
        (r#"{"messageId":"CAMQADAA","x":1} garbage"#, ClientCommand::Ack(id.clone())),
        (r#"{"type":5,"messageId":"CAMQADAA"}"#, ClientCommand::Ack(id.clone())),
        (r#"{"type":"ISENDOFTOPIC","messageId":"CAMQADAA"}"#, ClientCommand::Ack(id.clone())),
        (r#"{"type":"ack","messageId":"CAMQADAA","ackType":{"a":1}}"#, ClientCommand::Ack(id.clone())),
        (r#"{"type":"negativeAcknowledge","messageId":"CAMQADAA"}"#, ClientCommand::Nack(id)),
        (r#"{"type":"permit","permitMessages":5}"#, ClientCommand::Permit(5)),
        (r#"{"type":"permit","permitMessages":"-5"}"#, ClientCommand::Permit(-5)),
        (r#"{"type":"permit","permitMessages":2.9}"#, ClientCommand::Permit(2)),
        (r#"{"type":"unsubscribe"}"#, ClientCommand::Unsubscribe),
        (r#"{"type":"isEndOfTopic"}"#, ClientCommand::IsEndOfTopic),
    ] {
        let read = JsonReader::default().consumer_command(&mut text.as_bytes().to_vec());
        assert_eq!(read, Ok(command), "{text}");
    }
}

/// API 4.3 and the conformance cases 135 to 139.
#[test]
fn commands_that_nobody_can_follow() {
    let unreadable = [
        "garbage",
        "",
        "[]",
        "\"x\"",
        "1",
        "null",
        r#"{"messageId":"CAMQADAA""#,
        r#"{"messageId":{"a":1}}"#,
        r#"{"type":"permit","permitMessages":"x"}"#,
        r#"{"messageId":"CAMQADAA","permitMessages":"abc"}"#,
        r#"{"type":"permit","permitMessages":2147483648}"#,
    ];
    let for_consumers = [
        r#"{"type":"permit"}"#,
        r#"{"type":"permit","permitMessages":null}"#,
        r#"{"messageId":"AAAA"}"#,
        r#"{"messageId":""}"#,
        r#"{"messageId":"CAM="}"#,
        r#"{"type":"negativeAcknowledge","messageId":"AAAA"}"#,
        r#"{"messageId":"***"}"#,
        "{}",
        r#"{"messageId":null}"#,
        r#"{"type":"ack"}"#,
        r#"{"messageId":5}"#,
        r#"{"type":"negativeAcknowledge","messageId":"***"}"#,
    ];
    let mut reader = JsonReader::default();
    for text in unreadable {
        assert!(reader.consumer_command(&mut text.as_bytes().to_vec()).is_err(), "{text}");
        assert!(reader.reader_command(&mut text.as_bytes().to_vec()).is_err(), "{text}");
    }
    for text in for_consumers {
        assert!(reader.consumer_command(&mut text.as_bytes().to_vec()).is_err(), "{text}");
        assert_eq!(reader.reader_command(&mut text.as_bytes().to_vec()), Ok(ReaderCommand::Ack), "{text}");
    }
    let end = reader.reader_command(&mut br#"{"type":"isEndOfTopic"}"#.to_vec());
    assert_eq!(end, Ok(ReaderCommand::IsEndOfTopic));
}

/// The ordinary request is read by simd-json, and its strings are borrowed.
#[test]
fn the_common_case_takes_the_fast_way() {
    let mut reader = JsonReader::default();
    for text in [
        r#"{"payload":"SGVsbG8=","properties":{"k":"v"},"context":"1"}"#,
        r#"{"payload":"SGVs\/G8=","context":"a\nb","deliverAt":5,"x":[{"y":1.5}],"key":"k"}"#,
    ] {
        reader.padded.clear();
        reader.padded.extend_from_slice(text.as_bytes());
        reader.padded.resize(text.len() + INPUT_PADDING, b' ');
        let mut tape = Tape(Vec::new());
        simd_json::fill_tape_padded(&mut reader.padded, text.len(), &mut reader.buffers, &mut tape)
            .expect(text);
        let fast =
            <Option<Request<'_>>>::read(&mut TapeSource::new(&tape.0)).expect("sure").expect("not null");
        assert!(matches!(fast.payload, Some(Cow::Borrowed(_))), "{text}");
        assert_eq!(lenient(text), Ok(Some(fast)), "{text}");
    }
}

/// Whatever one reader makes of a text, the other makes too, or the fast one is unsure; nothing panics.
#[test]
fn both_readers_agree_on_mutated_texts() {
    let seeds = [
        r#"{"payload":"SGVsbG8=","properties":{"k":"v","n":5,"n":true},"context":"\u00e9\ud83d\ude00\"\\"}"#,
        r#"{"type":"permit","messageId":"CAMQADAA","permitMessages":5,"x":[1,-0,1.5e3,{"a":[]},null,false]}"#,
        r#"{"deliverAt":"10","deliverAfterMs":1.9,"replicationClusters":["a",null,1],"sequenceId":0}"#,
        r#"{"one":{"keyValue":"QQ==","metadata":{"version":"1"}},"two":null,"uncompressedMessageSize":7}"#,
    ];
    let pieces: [&str; 24] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "u",
        "0",
        "-",
        ".",
        "e",
        "null",
        "true",
        " ",
        "\u{e9}",
        "\t",
        "\n",
        "\\ud83d",
        "\\n",
        "9999999999",
        "\"payload\":",
        "{\"a\":1}",
    ];
    let mut random = Prng::new(7);
    let mut reader = JsonReader::default();
    let mut accepted = 0;
    for round in 0..60_000 {
        let mut text = seeds[random.below(4) as usize].to_owned();
        for _ in 0..random.below(4) {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            let at = places[random.below(places.len() as u64) as usize];
            let end = at + text[at..].chars().next().map_or(0, char::len_utf8);
            match random.below(4) {
                0 => text.insert_str(at, pieces[random.below(24) as usize]),
                1 => text.replace_range(at..end, pieces[random.below(24) as usize]),
                2 if at > 0 => text.replace_range(at..end, ""),
                _ => text.truncate(end),
            }
        }
        let place = format!("seed 7, round {round}: {text}");
        let bytes = text.as_bytes();
        let mut other = JsonReader::default();
        let read = settled(reader.request(bytes), || other.request_fault(bytes));
        let read = read.map(|request| format!("{request:?}"));
        assert_eq!(
            read,
            lenient::<Option<Request<'_>>>(&text).map(|request| format!("{request:?}")),
            "{place}"
        );
        accepted += usize::from(read.is_ok());
        let read = reader.command_text(&mut bytes.to_vec()).map(|command| format!("{command:?}"));
        assert_eq!(read, lenient::<CommandText<'_>>(&text).map(|command| format!("{command:?}")), "{place}");
        let read = reader.encryption_keys(&mut bytes.to_vec()).map(|keys| format!("{keys:?}"));
        let exact = lenient::<Vec<crate::wire::text::keys::KeyEntry<'_>>>(&text);
        assert_eq!(read, exact.map(|keys| format!("{keys:?}")), "{place}");
        drop(reader.consumer_command(&mut bytes.to_vec()));
    }
    assert!(accepted > 5000, "the mutations leave enough to compare: {accepted}");
}
