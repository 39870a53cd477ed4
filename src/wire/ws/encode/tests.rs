use super::*;

/// What `put` appends to an outbox that is not empty.
fn appended(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = b"before".to_vec();
    put(&mut out);
    assert!(out.starts_with(b"before"));
    out.split_off(6)
}

#[test]
fn rfc_6455_section_5_7() {
    let text = appended(|out| put_text(out, 5, |out| out.extend_from_slice(b"Hello")));
    assert_eq!(text, b"\x81\x05Hello");
    assert_eq!(appended(|out| put_ping(out, b"Hello")), b"\x89\x05Hello");
    assert_eq!(appended(|out| put_pong(out, b"Hello")), b"\x8a\x05Hello");
}

#[test]
fn the_length_is_minimal_whatever_was_guessed() {
    let lengths = [0, 1, 125, 126, 127, 255, 65_535, 65_536, 70_000];
    for length in lengths {
        let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let header = match length {
            0..=125 => vec![0x81, length as u8],
            126..=65_535 => [&[0x81, 126][..], &(length as u16).to_be_bytes()].concat(),
            _ => [&[0x81, 127][..], &(length as u64).to_be_bytes()].concat(),
        };
        for hint in lengths.into_iter().chain([usize::MAX]) {
            let frame = appended(|out| put_text(out, hint, |out| out.extend_from_slice(&payload)));
            assert_eq!(frame[..header.len()], header, "length {length}, hint {hint}");
            assert_eq!(frame[header.len()..], payload, "length {length}, hint {hint}");
        }
    }
}

#[test]
fn close_frames() {
    assert_eq!(appended(|out| put_close(out, None)), b"\x88\x00");
    assert_eq!(appended(|out| put_close(out, Some((1000, "")))), b"\x88\x02\x03\xe8");
    assert_eq!(appended(|out| put_close(out, Some((4003, "bye")))), b"\x88\x05\x0f\xa3bye");
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    for padding in 0..4 {
        let reason = format!("{}{}", "x".repeat(padding), "日".repeat(60));
        let frame = appended(|out| put_close(out, Some((1011, &reason))));
        let kept = std::str::from_utf8(&frame[4..]).expect("whole characters");
        assert!(reason.starts_with(kept) && (121..=123).contains(&kept.len()), "{} bytes", kept.len());
        assert_eq!(frame[1] as usize, frame.len() - 2);
    }
}

#[test]
fn control_frames_of_the_largest_size() {
    let frame = appended(|out| put_pong(out, &[7; 125]));
    assert_eq!((frame[1], frame.len()), (125, 127));
}
