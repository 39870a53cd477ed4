//! The rules of RFC 6455, limits, and what memory is held when.

use super::*;

#[test]
fn rfc_6455_section_5_7_masked_hello() {
    let mut input = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    let mut at = 0;
    let mut decoder = Decoder::new(CONFIG);
    assert_eq!(decoder.next(&mut input, &mut at), Ok(Some(Event::Text(&mut b"Hello".to_owned()))));
    assert_eq!(at, 11);
    assert_eq!(decoder.buffered(), 0);
    assert_eq!(decoder.next(&mut input, &mut at), Ok(None));
}

#[test]
fn whole_frames_are_lent_from_the_input() {
    let mut input =
        [frame(FIN | TEXT, b"first"), frame(FIN | PING, b"p"), frame(FIN | TEXT, b"second")].concat();
    let addresses = input.as_ptr_range();
    let mut decoder = Decoder::new(CONFIG);
    let mut at = 0;
    let mut lent = 0;
    while let Some(event) = decoder.next(&mut input, &mut at).expect("sound frames") {
        let payload = match event {
            Event::Text(text) => text.as_ptr(),
            Event::Ping(payload) => payload.as_ptr(),
            other => panic!("not sent: {other:?}"),
        };
        assert!(addresses.contains(&payload));
        lent += 1;
    }
    assert_eq!(lent, 3);
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn every_header_rule_is_1002() {
    let cases: [(&[u8], &str); 17] = [
        (&[0x81, 0x02], "Client MUST mask all frames (RFC-6455: Section 5.1)"),
        (&[0x80, 0x82, 0, 0, 0, 0], "CONTINUATION frame without prior !FIN"),
        (&[0x00, 0x80, 0, 0, 0, 0], "CONTINUATION frame without prior !FIN"),
        (&[0x83, 0x81], "Unknown opcode: 3"),
        (&[0x87, 0x80], "Unknown opcode: 7"),
        (&[0x8b, 0x80], "Unknown opcode: 11"),
        (&[0x8f, 0x80], "Unknown opcode: 15"),
        (&[0xc1, 0x80], "RSV1 not allowed to be set"),
        (&[0xa1, 0x80], "RSV2 not allowed to be set"),
        (&[0x99, 0x80], "RSV3 not allowed to be set"),
        (&[0x89, 0xfe], "Invalid control frame payload length, [126] cannot exceed [125]"),
        (&[0x88, 0xff], "Invalid control frame payload length, [127] cannot exceed [125]"),
        (&[0x09, 0x80], "Fragmented control frame [Ping]"),
        (&[0x08, 0x80], "Fragmented control frame [Close]"),
        (&[0x81, 0xfe, 0, 125], "Payload length 125 is not minimally encoded"),
        (&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], "Payload length 65535 is not minimally encoded"),
        (&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], "Payload length with the most significant bit set"),
    ];
    for (bytes, reason) in cases {
        // The last byte is the one that shows it: nothing is reported before, and nothing more is waited for.
        let (seen, early) = run(CONFIG, &bytes[..bytes.len() - 1], &[]);
        assert_eq!((seen, early), (Vec::new(), None), "{reason}");
        assert_eq!(violation(CONFIG, bytes), Violation::protocol(reason));
        let more = [frame(FIN | PONG, b""), bytes.to_vec()].concat();
        for cut in 0..=more.len() {
            let expected = (vec![Seen::Pong], Some(Violation::protocol(reason)));
            assert_eq!(run(CONFIG, &more, &[cut]), expected, "cut at {cut}");
        }
    }
}

#[test]
fn rsv1_is_for_the_first_frame_of_a_message_alone() {
    let config = DecoderConfig { deflate: true, ..CONFIG };
    for first in [FIN | RSV1 | PING, FIN | RSV1 | PONG, FIN | RSV1 | CLOSE] {
        assert_eq!(violation(config, &frame(first, b"")), Violation::protocol("RSV1 not allowed to be set"));
    }
    let stream = [frame(TEXT, b"a"), frame(FIN | RSV1 | CONTINUATION, b"b")].concat();
    assert_eq!(violation(config, &stream), Violation::protocol("RSV1 not allowed to be set"));
    assert_eq!(violation(config, &frame(FIN | 0x20 | TEXT, b"")).code, 1002);
}

#[test]
fn a_message_ends_before_the_next_begins() {
    for second in [FIN | TEXT, TEXT, FIN | BINARY] {
        let stream = [frame(TEXT, b"a"), frame(second, b"b")].concat();
        assert_eq!(violation(CONFIG, &stream).code, 1002);
    }
    let stream =
        [frame(BINARY, b"a"), frame(FIN | CONTINUATION, b"b"), frame(FIN | CONTINUATION, b"c")].concat();
    let (seen, violation) = run(CONFIG, &stream, &[]);
    assert_eq!(seen, [Seen::Binary(2)]);
    assert_eq!(violation, Some(Violation::protocol("CONTINUATION frame without prior !FIN")));
}

#[test]
fn close_frames() {
    let close = |payload: &[u8]| run(CONFIG, &frame(FIN | CLOSE, payload), &[]);
    assert_eq!(close(b""), (vec![Seen::Close(None)], None));
    assert_eq!(close(b"\x03\xe8bye"), (vec![Seen::Close(Some((1000, "bye".into())))], None));
    assert_eq!(close(b"\x03"), (vec![], Some(Violation::protocol("Close frame payload of 1 byte"))));
    assert_eq!(close(b"\x03\xe8\xff").1.map(|violation| violation.code), Some(1007));
    for code in 0..=u16::MAX {
        let legal = matches!(code, 1000..=1003 | 1007..=1011 | 3000..=4999);
        let expected = match legal {
            true => (vec![Seen::Close(Some((code, String::new())))], None),
            false => (vec![], Some(Violation::protocol(format!("Invalid close code: {code}")))),
        };
        assert_eq!(close(&code.to_be_bytes()), expected);
    }
}

#[test]
fn nothing_is_read_after_the_end() {
    for first in [frame(FIN | CLOSE, b""), vec![0x83, 0x80]] {
        let mut decoder = Decoder::new(CONFIG);
        let mut input = [first, frame(FIN | TEXT, b"late")].concat();
        let mut at = 0;
        assert_ne!(decoder.next(&mut input, &mut at), Ok(None));
        assert_eq!(decoder.next(&mut input, &mut at), Ok(None));
        assert_eq!(at, input.len());
        assert_eq!(decoder.next(&mut frame(FIN | TEXT, b"later"), &mut 0), Ok(None));
    }
}

#[test]
fn limits_are_inclusive_and_count_fragments_together() {
    let config = DecoderConfig { text_max: 10, binary_max: 5, deflate: false };
    assert_eq!(run(config, &frame(FIN | TEXT, &[b'a'; 10]), &[]), (vec![Seen::text([b'a'; 10])], None));
    assert_eq!(run(config, &frame(FIN | BINARY, &[0; 5]), &[]), (vec![Seen::Binary(5)], None));
    let text = Violation::too_large("Text message size [11] exceeds maximum size [10]");
    assert_eq!(violation(config, &frame(FIN | TEXT, &[b'a'; 11])), text);
    let stream = [frame(TEXT, b"12345678"), frame(CONTINUATION, b""), frame(CONTINUATION, b"9ab")].concat();
    assert_eq!(violation(config, &stream), text);
    let stream = [frame(BINARY, b"123"), frame(CONTINUATION, b"456")].concat();
    assert_eq!(
        violation(config, &stream),
        Violation::too_large("Binary message size [6] exceeds maximum size [5]")
    );
    // The largest length a header can say, twice: the sum must not wrap.
    let huge = |first| [&[first, 0xff, 0x7f][..], &[0xff; 7], &[0; 4]].concat();
    let reason = "Text message size [9223372036854775807] exceeds maximum size [10]";
    assert_eq!(violation(config, &huge(FIN | TEXT)), Violation::too_large(reason));
    let unlimited = DecoderConfig { text_max: usize::MAX, binary_max: usize::MAX, deflate: true };
    let (seen, violation) = run(unlimited, &huge(BINARY), &[]);
    assert_eq!((seen, violation), (vec![], None));
}

#[test]
fn the_limits_are_checked_before_anything_is_gathered() {
    let mut decoder = Decoder::new(CONFIG);
    let mut stream = frame(FIN | TEXT, &vec![b' '; CONFIG.text_max + 1]);
    stream.truncate(LENGTH_MAX);
    let error = feed(&mut decoder, &stream, &mut Vec::new()).expect_err("too large");
    assert_eq!(error, Violation::too_large("Text message size [1048577] exceeds maximum size [1048576]"));
    let stream = frame(FIN | BINARY, &[0; 70_000]);
    assert_eq!(
        violation(CONFIG, &stream[..LENGTH_MAX]),
        Violation::too_large("Binary message size [70000] exceeds maximum size [65536]")
    );
}

#[test]
fn a_lent_buffer_is_used_and_given_back() {
    let text = [b'a'; 1000];
    let frame = frame(0x81, &text);
    let mut decoder = Decoder::new(CONFIG);
    for _ in 0..2 {
        decoder.lend(Vec::with_capacity(4096));
        let (mut first, mut second) = (frame[..500].to_vec(), frame[500..].to_vec());
        assert_eq!(decoder.next(&mut first, &mut 0), Ok(None));
        assert_eq!((decoder.take_back().capacity(), decoder.buffered()), (0, 4096), "in use");
        decoder.lend(Vec::with_capacity(8192));
        assert!(
            matches!(decoder.next(&mut second, &mut 0), Ok(Some(Event::Text(text))) if text.len() == 1000)
        );
        assert_eq!(decoder.next(&mut [], &mut 0), Ok(None));
        assert_eq!((decoder.take_back().capacity(), decoder.buffered()), (4096, 0));
    }
}

#[test]
fn memory_follows_what_arrived_and_goes_back() {
    let mut decoder = Decoder::new(CONFIG);
    let stream = frame(FIN | TEXT, &vec![b'x'; CONFIG.text_max]);
    let mut seen = Vec::new();
    let mut fed = 0;
    for piece in stream[..stream.len() - 1].chunks(1000) {
        feed(&mut decoder, piece, &mut seen).expect("sound so far");
        fed += piece.len();
        assert!(decoder.buffered() <= 2 * fed, "{} bytes held for {fed}", decoder.buffered());
        assert!(decoder.buffered() <= CONFIG.text_max);
    }
    assert!(seen.is_empty());
    feed(&mut decoder, &stream[stream.len() - 1..], &mut seen).expect("sound");
    assert_eq!(seen, [Seen::Text(vec![b'x'; CONFIG.text_max])]);
    assert_eq!(decoder.buffered(), 0);

    // A ping cut off, too; and binary data is counted, not kept.
    let ping = frame(FIN | PING, b"0123456789");
    feed(&mut decoder, &ping[..9], &mut seen).expect("sound so far");
    assert!((1..=10).contains(&decoder.buffered()));
    feed(&mut decoder, &ping[9..], &mut seen).expect("sound");
    assert_eq!(decoder.buffered(), 0);
    feed(&mut decoder, &frame(BINARY, &[0xff; 60_000]), &mut seen).expect("sound so far");
    assert_eq!(decoder.buffered(), 0);
}
