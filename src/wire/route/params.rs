//! Query parameters: first occurrence wins, form decoding, Java's number rules (API 1.4).

use crate::wire::route::RouteError;
use crate::wire::text::clip;
use std::borrow::Cow;
use std::str::FromStr;

/// The parameters of one request, decoded. Lookups are linear: a query has a handful of them.
#[derive(Debug, Default)]
pub(super) struct Params<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Params<'a> {
    /// Splits and decodes a query (the text after `?`). A malformed `%` sequence anywhere is an error.
    pub(super) fn read(query: &'a str) -> Result<Self, RouteError> {
        let malformed = || RouteError::invalid("malformed % sequence in the query");
        let mut pairs = Vec::new();
        for (name, value) in raw_pairs(query) {
            let name = form_decode(name).ok_or_else(malformed)?;
            pairs.push((name, form_decode(value).ok_or_else(malformed)?));
        }
        Ok(Params { pairs })
    }

    /// The first value of a parameter; an empty value counts as present.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }

    /// True only for the text `true`, in any letter case.
    pub(super) fn boolean(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A decimal number by Java's rules, `None` when absent.
    pub(super) fn integer<N: FromStr>(&self, name: &str) -> Result<Option<N>, RouteError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        // Rust reads as Java does: one sign at most, no blanks, and what does not fit is refused.
        value
            .parse()
            .map(Some)
            .map_err(|_| RouteError::invalid(format_args!("For input string: \"{}\"", clip(value))))
    }

    /// A 32-bit number that may not be negative; the message names what the original's builder names.
    pub(super) fn natural(&self, name: &str, named: &str) -> Result<Option<u32>, RouteError> {
        let Some(number) = self.integer::<i32>(name)? else { return Ok(None) };
        u32::try_from(number)
            .map(Some)
            .map_err(|_| RouteError::invalid(format_args!("{named} needs to be >= 0")))
    }

    /// A name that may be absent but not blank.
    pub(super) fn name(&self, name: &str) -> Result<Option<String>, RouteError> {
        match self.get(name) {
            Some(value) if value.trim().is_empty() => {
                Err(RouteError::invalid(format_args!("{name} cannot be blank")))
            }
            value => Ok(value.map(str::to_owned)),
        }
    }

    /// One of the words of a case-sensitive enumeration; `default` when absent.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &str,
        words: &[(&str, T)],
        default: T,
    ) -> Result<T, RouteError> {
        let Some(value) = self.get(name) else { return Ok(default) };
        find(words, value).ok_or_else(|| RouteError::invalid(format_args!("Invalid {name} {}", clip(value))))
    }
}

/// The value of a word in a table of words.
pub(super) fn find<T: Copy>(words: &[(&str, T)], word: &str) -> Option<T> {
    words.iter().find(|(found, _)| *found == word).map(|(_, value)| *value)
}

/// Names and values of a query, still encoded; empty pieces left out.
pub(super) fn raw_pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Form decoding, once: `+` is a space, `%XX` a byte; bytes that are no UTF-8 become U+FFFD. `None`: a
/// malformed `%`.
pub(super) fn form_decode(text: &str) -> Option<Cow<'_, str>> {
    if memchr::memchr2(b'%', b'+', text.as_bytes()).is_none() {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            byte => byte,
        });
    }
    Some(Cow::Owned(match String::from_utf8(decoded) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }))
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn decoding_is_done_once() {
        assert_eq!(form_decode("a%252Fb+c").as_deref(), Some("a%2Fb c"));
        assert_eq!(form_decode("%e6%97%a5%E6%9C%AC").as_deref(), Some("\u{65e5}\u{672c}"));
        assert_eq!(form_decode("%ff").as_deref(), Some("\u{fffd}"));
        for text in ["%", "%4", "%zz", "%+1", "a%4"] {
            assert_eq!(form_decode(text), None, "{text}");
        }
    }

    #[test]
    fn first_value_wins_and_empty_is_present() {
        let params = Params::read("a=1&a=2&b=&&c&=x&d=e=f").expect("well formed");
        assert_eq!([params.get("a"), params.get("b"), params.get("c")], [Some("1"), Some(""), Some("")]);
        assert_eq!([params.get("d"), params.get("x"), params.get("A")], [Some("e=f"), None, None]);
        assert!(Params::read("a=1&a=%zz").is_err());
    }

    #[test]
    fn numbers_are_javas() {
        let number = |text: &str| {
            Params::read(text).expect("well formed").integer::<i32>("n").map_err(|error| error.message)
        };
        assert_eq!(number("n=%2B5"), Ok(Some(5)));
        assert_eq!(number("n=-2147483648"), Ok(Some(i32::MIN)));
        assert_eq!(number("n=007"), Ok(Some(7)));
        assert_eq!(number("m=7"), Ok(None));
        for text in
            ["abc", "", "+5", "2147483648", "%205", "5%20", "--5", "%2B", "-", "1.0", "0x1", "\u{665}"]
        {
            let shown = form_decode(text).expect("well formed");
            let message = format!("Invalid query params: For input string: \"{shown}\"");
            assert_eq!(number(&format!("n={text}")), Err(message), "{text}");
        }
    }

    #[test]
    fn booleans_never_fail() {
        for (text, value) in
            [("b=TRUE", true), ("b=true", true), ("b=yes", false), ("b=", false), ("", false)]
        {
            assert_eq!(Params::read(text).expect("well formed").boolean("b"), value, "{text}");
        }
    }

    #[test]
    fn random_queries_never_panic() {
        let mut random = Prng::new(4);
        for _ in 0..20_000 {
            let text: String = (0..random.below(20))
                .map(|_| ["%", "4", "f", "&", "=", "+", "\u{e9}", "n"][random.below(8) as usize])
                .collect();
            if let Ok(params) = Params::read(&text) {
                assert_eq!(params.boolean("n"), params.get("n") == Some("true"));
            }
        }
    }
}
