use super::*;
use crate::wire::pulsar::metadata::MetadataView;
use crate::wire::pulsar::proto::{KeyValue, MessageMetadata};
use prost::Message;

fn shown(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).expect("what we send is UTF-8")
}

fn metadata(properties: &[(&str, &str)]) -> Vec<u8> {
    let pair = |&(key, value): &(&str, &str)| KeyValue { key: key.to_owned(), value: value.to_owned() };
    MessageMetadata { properties: properties.iter().map(pair).collect(), ..Default::default() }
        .encode_to_vec()
}

fn delivered(
    properties: &[(&str, &str)],
    encryption: Option<EncryptionContext<'_>>,
    change: impl FnOnce(&mut Delivery<'_>),
) -> String {
    let metadata = metadata(properties);
    let view = MetadataView::read(&metadata).expect("just encoded");
    let mut delivery = Delivery {
        id: &MessageId::plain(3, 0),
        payload: b"Hello",
        properties: view.properties(),
        publish_time: UnixMillis(1_767_323_045_678),
        redelivery_count: 0,
        event_time: None,
        encryption,
        key: None,
    };
    change(&mut delivery);
    let text = shown(|out| put_delivery(out, &delivery));
    let hint = delivery_size_hint(&delivery);
    assert!(hint >= text.len() && hint < text.len() + 200, "hint {hint} for {} bytes", text.len());
    text
}

/// Texts of API 3.3.
#[test]
fn acks() {
    let id = MessageId::plain(3, 0);
    assert_eq!(
        shown(|out| put_ack(out, &id, None)),
        r#"{"result":"ok","messageId":"CAMQADAA","errorCode":0,"schemaVersion":0}"#
    );
    assert_eq!(
        shown(|out| put_ack(out, &id, Some(b"1"))),
        r#"{"result":"ok","messageId":"CAMQADAA","context":"1","errorCode":0,"schemaVersion":0}"#
    );
    assert_eq!(
        shown(|out| put_send_error(out, SendErrorCode::Encoding, "a \"b\"", Some(b"7"))),
        r#"{"result":"send-error:7","errorMsg":"a \"b\"","context":"7","errorCode":0,"schemaVersion":0}"#
    );
    assert_eq!(
        shown(|out| put_send_error(out, SendErrorCode::Json, "x", None)),
        r#"{"result":"send-error:3","errorMsg":"x","errorCode":0,"schemaVersion":0}"#
    );
    assert_eq!(shown(|out| put_end_of_topic(out, true)), r#"{"endOfTopic":true}"#);
    assert_eq!(shown(|out| put_end_of_topic(out, false)), r#"{"endOfTopic":false}"#);
}

#[test]
fn deliveries() {
    assert_eq!(
        delivered(&[], None, |_| ()),
        concat!(
            r#"{"messageId":"CAMQADAA","payload":"SGVsbG8=","properties":{},"#,
            r#""publishTime":"2026-01-02T03:04:05.678Z","redeliveryCount":0}"#
        )
    );
    assert_eq!(
        delivered(&[("k", "v"), ("a", "")], None, |delivery| {
            delivery.payload = b"";
            delivery.redelivery_count = u32::MAX;
            delivery.event_time = Some(UnixMillis(1_767_323_045_000));
            delivery.key = Some("k1");
        }),
        concat!(
            r#"{"messageId":"CAMQADAA","payload":"","properties":{"k":"v","a":""},"#,
            r#""publishTime":"2026-01-02T03:04:05.678Z","redeliveryCount":4294967295,"#,
            r#""eventTime":"2026-01-02T03:04:05Z","key":"k1"}"#
        )
    );
}

/// The member order of API 4.2; the first context is the one recorded there.
#[test]
fn encryption_contexts() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let one = EncryptionKey {
        name: "one".to_owned(),
        value: b"wrapped".to_vec(),
        metadata: vec![pair("version", "1")],
    };
    let two = EncryptionKey { name: "two".to_owned(), value: b"2".to_vec(), metadata: vec![] };
    let keys = [one, two];
    let mut context = EncryptionContext {
        keys: &keys[..1],
        param: Some(b"vector"),
        algorithm: None,
        compression: CompressionType::Lz4,
        uncompressed_size: 99,
        batch_size: None,
    };
    let text = |context: &EncryptionContext<'_>| {
        let text = delivered(&[], Some(context.clone()), |delivery| delivery.key = Some("k"));
        let (_, tail) = text.split_once(r#","encryptionContext":"#).expect("it is encrypted");
        tail.strip_suffix(r#","key":"k"}"#).expect("the key comes last").to_owned()
    };
    assert_eq!(
        text(&context),
        concat!(
            r#"{"keys":{"one":{"keyValue":"d3JhcHBlZA==","metadata":{"version":"1"}}},"param":"dmVjdG9y","#,
            r#""compressionType":"LZ4","uncompressedMessageSize":99,"batchSize":null}"#
        )
    );
    context =
        EncryptionContext { keys: &keys, algorithm: Some("x"), param: None, batch_size: Some(3), ..context };
    assert_eq!(
        text(&context),
        concat!(
            r#"{"keys":{"one":{"keyValue":"d3JhcHBlZA==","metadata":{"version":"1"}},"#,
            r#""two":{"keyValue":"Mg==","metadata":{}}},"algorithm":"x","#,
            r#""compressionType":"LZ4","uncompressedMessageSize":99,"batchSize":3}"#
        )
    );
}

#[test]
fn strings_are_escaped_as_jackson_does() {
    let text = "\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1}\u{1f}\u{7f}\u{e9}</\u{2028}\u{1f600}";
    let expected = "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u0001\\u001F\u{7f}\u{e9}</\u{2028}\u{1f600}\"";
    assert_eq!(shown(|out| put_json_string(out, text)), expected);
}

/// Escapes at every place of a chunk, checked with another reader.
#[test]
fn strings_survive_wherever_the_escape_lies() {
    for length in 0..100 {
        for at in 0..length {
            let mut text = "x".repeat(length);
            text.replace_range(at..=at, "\u{1}");
            let written = shown(|out| put_json_string(out, &text));
            assert_eq!(serde_json::from_str::<String>(&written).expect("JSON"), text);
        }
    }
}

#[test]
fn integers() {
    for number in [0, 9, 10, 99, 100, u64::MAX] {
        assert_eq!(shown(|out| put_integer(out, number)), number.to_string());
    }
}
