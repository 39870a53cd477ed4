//! Java properties text, the syntax of `websocket.conf`: comments, separators, escapes, continued lines.
//! Reads a file as `java.util.Properties` does and keeps the line of every entry for error messages.

use crate::base::limit::CONFIG_FILE_BYTES_MAX;

/// One `key=value` of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Unescaped key.
    pub key: String,
    /// Unescaped value without blanks at either end: settings never begin or end with one.
    pub value: String,
    /// Line of the file where the entry begins, from 1.
    pub line: u32,
}

/// The text is no properties file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PropertiesError {
    /// `\u` must be followed by four hexadecimal digits.
    #[error("line {line}: \\u must be followed by four hexadecimal digits")]
    Escape {
        /// Where the entry begins.
        line: u32,
    },
    /// Half of a character outside the basic plane.
    #[error("line {line}: \\u{unit:04x} is one half of a surrogate pair without the other")]
    Surrogate {
        /// Where the entry begins.
        line: u32,
        /// The lone half.
        unit: u16,
    },
    /// More than [`CONFIG_FILE_BYTES_MAX`].
    #[error("{bytes} bytes are no configuration file: at most {max} are read", max = CONFIG_FILE_BYTES_MAX)]
    TooLarge {
        /// Size of the text.
        bytes: usize,
    },
}

/// Reads all entries in the order of the file; a key may occur more than once. The text is taken as UTF-8,
/// and where it is not valid UTF-8 as ISO 8859-1, which is what Java takes every file for.
pub fn parse(text: &[u8]) -> Result<Vec<Entry>, PropertiesError> {
    if text.len() > CONFIG_FILE_BYTES_MAX {
        return Err(PropertiesError::TooLarge { bytes: text.len() });
    }
    let text = match std::str::from_utf8(text) {
        Ok(text) => text.to_owned(),
        Err(_) => text.iter().map(|&byte| char::from(byte)).collect(),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    logical_lines(text).into_iter().map(|(line, content)| entry(&content, line)).collect()
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\u{c}')
}

/// Lines with their continuations joined, comments and blank lines dropped, each with its number.
fn logical_lines(text: &str) -> Vec<(u32, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(u32, String)> = None;
    for (index, natural) in natural_lines(text).enumerate() {
        let content = natural.trim_start_matches(is_blank);
        if open.is_none() && (content.is_empty() || content.starts_with(['#', '!'])) {
            continue;
        }
        // A file of CONFIG_FILE_BYTES_MAX has fewer lines than that.
        let (number, mut joined) = open.take().unwrap_or((index as u32 + 1, String::new()));
        let continues = content.chars().rev().take_while(|&character| character == '\\').count() % 2 == 1;
        joined.push_str(if continues { &content[..content.len() - 1] } else { content });
        if continues {
            open = Some((number, joined));
        } else {
            lines.push((number, joined));
        }
    }
    lines.extend(open);
    lines
}

/// Lines ended by `\n`, `\r` or `\r\n`.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn entry(content: &str, line: u32) -> Result<Entry, PropertiesError> {
    let mut escaped = false;
    let key_end = content
        .find(|character: char| {
            let ends = !escaped && (is_blank(character) || matches!(character, '=' | ':'));
            escaped = !escaped && character == '\\';
            ends
        })
        .unwrap_or(content.len());
    let (key, rest) = content.split_at(key_end);
    let rest = rest.trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    Ok(Entry { key: unescape(key, line)?, value: unescape(value, line)?.trim().to_owned(), line })
}

fn unescape(text: &str, line: u32) -> Result<String, PropertiesError> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    // The first half of a surrogate pair, until the second one arrives.
    let mut high: Option<u16> = None;
    while let Some(character) = rest.next() {
        let unit = match character {
            '\\' => match rest.next() {
                Some('u') => Err(unicode_unit(&mut rest).ok_or(PropertiesError::Escape { line })?),
                Some('t') => Ok('\t'),
                Some('n') => Ok('\n'),
                Some('r') => Ok('\r'),
                Some('f') => Ok('\u{c}'),
                Some(other) => Ok(other),
                None => break,
            },
            other => Ok(other),
        };
        match (high.take(), unit) {
            (None, Ok(character)) => plain.push(character),
            (None, Err(unit @ 0xd800..=0xdbff)) => high = Some(unit),
            (None, Err(unit)) => {
                plain.push(char::from_u32(unit.into()).ok_or(PropertiesError::Surrogate { line, unit })?);
            }
            (Some(first), Err(second)) => {
                let pair = char::decode_utf16([first, second]).next().and_then(Result::ok);
                plain.push(pair.ok_or(PropertiesError::Surrogate { line, unit: first })?);
            }
            (Some(unit), Ok(_)) => return Err(PropertiesError::Surrogate { line, unit }),
        }
    }
    match high {
        Some(unit) => Err(PropertiesError::Surrogate { line, unit }),
        None => Ok(plain),
    }
}

fn unicode_unit(rest: &mut std::str::Chars<'_>) -> Option<u16> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit << 4 | rest.next()?.to_digit(16)? as u16;
    }
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text.as_bytes()).unwrap().into_iter().map(|entry| (entry.key, entry.value)).collect()
    }

    /// Expectations follow the documentation of `java.util.Properties.load`.
    #[test]
    fn the_syntax_of_java_is_understood() {
        let cases: [(&str, &[(&str, &str)]); 22] = [
            ("", &[]),
            ("\n \t\n# a=b\n ! a=b\n", &[]),
            ("a=b", &[("a", "b")]),
            ("a:b", &[("a", "b")]),
            ("a b", &[("a", "b")]),
            ("  a\t =  b c  \n", &[("a", "b c")]),
            ("a==b", &[("a", "=b")]),
            ("a = : b", &[("a", ": b")]),
            ("a", &[("a", "")]),
            ("a=", &[("a", "")]),
            ("a=b\rc=d\r\ne=f", &[("a", "b"), ("c", "d"), ("e", "f")]),
            ("a=b\\\n   c", &[("a", "bc")]),
            ("a=b\\\r\n  c", &[("a", "bc")]),
            ("a=b\\\\\nc=d", &[("a", "b\\"), ("c", "d")]),
            ("a=b\\\n# c", &[("a", "b# c")]),
            ("# a \\\nb=c", &[("b", "c")]),
            ("a=b\\", &[("a", "b")]),
            ("a\\ b\\=c\\:d = e", &[("a b=c:d", "e")]),
            ("a=b#c!d", &[("a", "b#c!d")]),
            ("a=\\u0041\\t\\q\\u00e4", &[("a", "A\tq\u{e4}")]),
            ("a=\\ud83d\\ude00!", &[("a", "\u{1f600}!")]),
            ("\u{feff}a=b", &[("a", "b")]),
        ];
        for (text, expected) in cases {
            let expected: Vec<_> =
                expected.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            assert_eq!(pairs(text), expected, "{text:?}");
        }
    }

    #[test]
    fn lines_are_counted_as_an_editor_does() {
        let entries = parse(b"# one\n\na=b\\\n  c\r\nd=e\rf=g\n").unwrap();
        let lines: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), entry.line)).collect();
        assert_eq!(lines, [("a", 3), ("d", 5), ("f", 6)]);
    }

    #[test]
    fn broken_escapes_name_their_line() {
        assert_eq!(parse(b"a=b\nc=\\u12"), Err(PropertiesError::Escape { line: 2 }));
        assert_eq!(parse(b"a=\\u12g4"), Err(PropertiesError::Escape { line: 1 }));
        for lone in ["a=\\ud800", "a=\\ud800x", "a=\\ud800\\u0041", "a=\\ud800\\n"] {
            assert_eq!(
                parse(lone.as_bytes()),
                Err(PropertiesError::Surrogate { line: 1, unit: 0xd800 }),
                "{lone}"
            );
        }
        assert_eq!(parse(b"a=\\udc00"), Err(PropertiesError::Surrogate { line: 1, unit: 0xdc00 }));
    }

    #[test]
    fn what_is_not_utf8_is_latin_1_as_in_java() {
        assert_eq!(parse(b"a=\xe4").unwrap()[0].value, "\u{e4}");
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused() {
        let text = vec![b'\n'; CONFIG_FILE_BYTES_MAX + 1];
        assert_eq!(parse(&text[1..]), Ok(Vec::new()));
        assert_eq!(parse(&text), Err(PropertiesError::TooLarge { bytes: text.len() }));
    }

    #[test]
    fn any_bytes_are_an_answer_and_never_a_panic() {
        const SEED: u64 = 20_260_801;
        let mut prng = Prng::new(SEED);
        let alphabet = b"\\\\\\u0d8fgn=: \t#!\r\n\xc3\xa4\xff";
        for round in 0..20_000 {
            let length = prng.below(40) as usize;
            let text: Vec<u8> = (0..length)
                .map(|_| match prng.below(4) {
                    0 => prng.next() as u8,
                    _ => alphabet[prng.below(alphabet.len() as u64) as usize],
                })
                .collect();
            if let Ok(entries) = parse(&text) {
                let lines = 1 + text.iter().filter(|&&byte| matches!(byte, b'\n' | b'\r')).count();
                let in_order = entries.is_sorted_by_key(|entry| entry.line);
                let within = entries.iter().all(|entry| (1..=lines).contains(&(entry.line as usize)));
                assert!(in_order && within, "seed {SEED} round {round}: {text:?} gave {entries:?}");
            }
        }
    }
}
