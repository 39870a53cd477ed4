//! UTF-8 is checked as it arrives: a text fails at the first byte that no sound text could have there.

use super::*;

/// Sequences and the index of the byte that makes each impossible. Source: the table of well-formed
/// sequences, Unicode standard section 3.9.
const INVALID: [(&[u8], usize); 24] = [
    (b"\x80", 0),
    (b"\xbf", 0),
    (b"\xc0\x80", 0),
    (b"\xc1\xbf", 0),
    (b"\xf5\x80\x80\x80", 0),
    (b"\xf8\x88\x80\x80\x80", 0),
    (b"\xfc\x84\x80\x80\x80\x80", 0),
    (b"\xfe", 0),
    (b"\xff", 0),
    (b"\xc3\x28", 1),
    (b"\xc3\xc3", 1),
    (b"\xe0\x80\x80", 1),
    (b"\xe0\x9f\xbf", 1),
    (b"\xed\xa0\x80", 1),
    (b"\xed\xbf\xbf", 1),
    (b"\xed\xa0\x80\xed\xb0\x80", 1),
    (b"\xe2\x28\xa1", 1),
    (b"\xe2\x82\x28", 2),
    (b"\xf0\x80\x80\x80", 1),
    (b"\xf0\x8f\xbf\xbf", 1),
    (b"\xf4\x90\x80\x80", 1),
    (b"\xf0\x28\x8c\xbc", 1),
    (b"\xf0\x90\x28\xbc", 2),
    (b"\xf0\x90\x8d\x28", 3),
];

/// The first and the last character of each length and of the gaps between, and some that are in use.
const VALID: &str =
    "\0\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10000}\u{10ffff}κόσμε日本𐍈é\u{1f980}";

/// Text before the sequence: the check must not depend on where it stands.
const BEFORE: [&str; 4] =
    ["", "a", "κ", "a long run of plain bytes, more than a vector register holds: 0123456789 "];

#[test]
fn fails_at_the_first_impossible_byte_of_a_frame() {
    for before in BEFORE {
        for (bytes, certain) in INVALID {
            let text = [before.as_bytes(), bytes, b"more"].concat();
            let stream = frame(FIN | TEXT, &text);
            let header = stream.len() - text.len();
            let end = header + before.len() + certain;
            let mut decoder = Decoder::new(CONFIG);
            let mut seen = Vec::new();
            for at in 0..end {
                assert_eq!(feed(&mut decoder, &stream[at..at + 1], &mut seen), Ok(()), "{bytes:x?} at {at}");
            }
            let error = feed(&mut decoder, &stream[end..end + 1], &mut seen).expect_err("not UTF-8");
            assert_eq!((error.code, seen.len()), (1007, 0), "{bytes:x?}");
            assert_eq!(violation(CONFIG, &stream).code, 1007, "{bytes:x?}, all at once");
        }
    }
}

#[test]
fn fails_at_the_first_impossible_fragment() {
    for before in BEFORE {
        for (bytes, certain) in INVALID {
            let mut decoder = Decoder::new(CONFIG);
            let mut seen = Vec::new();
            let mut good = vec![frame(TEXT, before.as_bytes())];
            good.extend(bytes[..certain].iter().map(|byte| frame(CONTINUATION, &[*byte])));
            good.push(frame(CONTINUATION, b""));
            feed(&mut decoder, &good.concat(), &mut seen).expect("sound so far");
            let error = feed(&mut decoder, &frame(CONTINUATION, &bytes[certain..=certain]), &mut seen);
            assert_eq!(error.map_err(|violation| violation.code), Err(1007), "{bytes:x?}");
        }
    }
}

#[test]
fn a_character_cut_off_by_the_end_of_the_message() {
    for character in ["é", "日", "𐍈"] {
        for length in 1..character.len() {
            let cut = &character.as_bytes()[..length];
            assert_eq!(violation(CONFIG, &frame(FIN | TEXT, cut)).code, 1007);
            let fragments = [frame(TEXT, cut), frame(FIN | CONTINUATION, b"")].concat();
            assert_eq!(violation(CONFIG, &fragments).code, 1007);
            let next = [frame(TEXT, cut), frame(FIN | CONTINUATION, b"a")].concat();
            assert_eq!(violation(CONFIG, &next).code, 1007);
            // What was cut off must not leak into the next message.
            let whole = [frame(FIN | TEXT, character.as_bytes()), frame(FIN | TEXT, b"a")].concat();
            assert_eq!(run(CONFIG, &whole, &[8, 9]).0, [Seen::text(character), Seen::text("a")]);
        }
    }
}

#[test]
fn sound_text_passes_however_it_is_cut() {
    let text = VALID.as_bytes();
    let whole = frame(FIN | TEXT, text);
    for cut in 0..=text.len() {
        let fragments = [frame(TEXT, &text[..cut]), frame(FIN | CONTINUATION, &text[cut..])].concat();
        assert_eq!(run(CONFIG, &fragments, &[]), (vec![Seen::text(text)], None), "fragments cut at {cut}");
        assert_eq!(run(CONFIG, &whole, &[whole.len() - text.len() + cut]).0, [Seen::text(text)]);
    }
    let mut fragments = frame(TEXT, b"");
    fragments.extend(text.iter().flat_map(|byte| frame(CONTINUATION, &[*byte])));
    fragments.extend(frame(FIN | CONTINUATION, b""));
    assert_eq!(run(CONFIG, &fragments, &[]), (vec![Seen::text(text)], None));
}
