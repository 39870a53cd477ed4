//! Times in texts: ISO-8601 with offset in, UTC with trailing zeros trimmed out (API 3.2, 4.2).

use crate::base::time::UnixMillis;
use crate::wire::text::clip;
use crate::wire::text::reply::put_integer;

/// A time text that `java.time` would not parse; `Display` gives its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Text '{text}' could not be parsed at index {index}")]
pub struct DateError {
    /// The text, as given; of a long one its beginning.
    pub text: String,
    /// Where parsing stopped, in characters.
    pub index: usize,
}

const DAY_SECONDS: i64 = 86_400;
/// Largest offset from UTC. Source: `java.time.ZoneOffset`.
const OFFSET_MAX_SECONDS: i64 = 18 * 3600;

/// Reads `2016-08-30T16:45:57.785+02:00`: seconds and fraction optional, fraction cut to milliseconds, `t`
/// and `z` may be small. Years -999999999 to 999999999 as `java.time` allows them.
pub fn parse(text: &str) -> Result<UnixMillis, DateError> {
    let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
    let failed = |at| DateError { text: clip(text).into_owned(), index: at };
    let millis = reader.date_time().ok_or_else(|| failed(reader.at))?;
    if reader.at < text.len() {
        return Err(failed(reader.at));
    }
    // Only years beyond ours by hundreds of millions do not fit.
    i64::try_from(millis).map(UnixMillis).map_err(|_| failed(0))
}

/// What has been read is ASCII, so offsets in bytes are offsets in characters.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// Milliseconds since the epoch. `None`: wrong at `at`.
    fn date_time(&mut self) -> Option<i128> {
        let year = self.year()?;
        self.byte(b"-")?;
        let month = self.two_digits(1, 12)?;
        self.byte(b"-")?;
        let day = self.two_digits(1, days_in_month(year, month))?;
        self.byte(b"Tt")?;
        let hour = self.two_digits(0, 23)?;
        self.byte(b":")?;
        let minute = self.two_digits(0, 59)?;
        let (mut second, mut milli) = (0, 0);
        if self.byte(b":").is_some() {
            second = self.two_digits(0, 59)?;
            if self.byte(b".").is_some() {
                milli = self.fraction();
            }
        }
        let offset = self.offset()?;
        let seconds =
            days_from_civil(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset;
        Some(i128::from(seconds) * 1000 + i128::from(milli))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn byte(&mut self, wanted: &[u8]) -> Option<()> {
        if !wanted.contains(&self.peek()?) {
            return None;
        }
        self.at += 1;
        Some(())
    }

    fn digit(&mut self) -> Option<i64> {
        let digit = self.peek().filter(u8::is_ascii_digit)?;
        self.at += 1;
        Some(i64::from(digit - b'0'))
    }

    /// Two digits, in range; otherwise `at` stays at the first.
    fn two_digits(&mut self, min: i64, max: i64) -> Option<i64> {
        let start = self.at;
        let number = self.digit().and_then(|tens| Some(tens * 10 + self.digit()?));
        let number = number.filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.at = start;
        }
        number
    }

    /// Four digits; more, up to nine, only behind a sign, and behind `+` only more.
    fn year(&mut self) -> Option<i64> {
        let start = self.at;
        let sign = self.peek().filter(|byte| b"+-".contains(byte));
        self.at += usize::from(sign.is_some());
        let first = self.at;
        let mut year = 0;
        while self.at - first < 10 {
            let Some(digit) = self.digit() else { break };
            year = year * 10 + digit;
        }
        let fits = match (sign, self.at - first) {
            (None, digits) => digits == 4,
            (Some(b'-'), digits) => (4..=9).contains(&digits) && year > 0,
            (Some(_), digits) => (5..=9).contains(&digits),
        };
        if !fits {
            self.at = start;
            return None;
        }
        Some(if sign == Some(b'-') { -year } else { year })
    }

    /// Up to nine digits, of which three count.
    fn fraction(&mut self) -> i64 {
        let mut milli = 0;
        for place in [100, 10, 1, 0, 0, 0, 0, 0, 0] {
            let Some(digit) = self.digit() else { break };
            milli += digit * place;
        }
        milli
    }

    /// `Z`, `+02`, `+02:00` or `+02:00:00`, in seconds.
    fn offset(&mut self) -> Option<i64> {
        let start = self.at;
        if self.byte(b"Zz").is_some() {
            return Some(0);
        }
        let sign = if self.peek() == Some(b'-') { -1 } else { 1 };
        self.byte(b"+-")?;
        let mut seconds = 0;
        for (unit, max) in [(3600, 18), (60, 59), (1, 59)] {
            if unit < 3600 && self.byte(b":").is_none() {
                break;
            }
            let Some(number) = self.two_digits(0, max) else {
                self.at = start;
                return None;
            };
            seconds += number * unit;
        }
        if seconds > OFFSET_MAX_SECONDS {
            self.at = start;
            return None;
        }
        Some(sign * seconds)
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of 400 years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;
/// Days from 1 March of year 0 to 1 January 1970.
const EPOCH_DAYS: i64 = 719_468;

/// Days since the epoch. Years are taken to begin in March, which puts the leap day last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - EPOCH_DAYS
}

/// Year, month and day of a day since the epoch.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAYS;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * march_month + 2) / 5 + 1)
}

/// Appends `2026-01-02T03:04:05.678Z`; zeros at the end of the fraction are left out, an empty fraction too.
pub fn put(out: &mut Vec<u8>, time: UnixMillis) {
    let (seconds, milli) = (time.0.div_euclid(1000), time.0.rem_euclid(1000));
    let (year, month, day) = civil_from_days(seconds.div_euclid(DAY_SECONDS));
    let second_of_day = seconds.rem_euclid(DAY_SECONDS);
    match year {
        0..=9999 => {}
        10_000.. => out.push(b'+'),
        _ => out.push(b'-'),
    }
    if year.abs() > 9999 {
        put_integer(out, year.unsigned_abs());
    }
    // Put together on the stack: this stands in every message that is delivered.
    let mut text = *b"0000-00-00T00:00:00.000Z";
    for (at, number) in [
        (0, year.abs() / 100 % 100),
        (2, year.abs() % 100),
        (5, month),
        (8, day),
        (11, second_of_day / 3600),
        (14, second_of_day / 60 % 60),
        (17, second_of_day % 60),
        (20, milli / 10),
    ] {
        (text[at], text[at + 1]) = (ascii_digit(number / 10), ascii_digit(number % 10));
    }
    text[22] = ascii_digit(milli % 10);
    let end = match milli {
        0 => 19,
        _ if milli % 100 == 0 => 21,
        _ if milli % 10 == 0 => 22,
        _ => 23,
    };
    text[end] = b'Z';
    let start = if year.abs() > 9999 { 4 } else { 0 };
    out.extend_from_slice(&text[start..=end]);
}

fn ascii_digit(digit: i64) -> u8 {
    debug_assert!((0..10).contains(&digit), "one digit");
    b'0' + digit as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    fn shown(text: &str) -> Result<String, usize> {
        let time = parse(text).map_err(|error| error.index)?;
        let mut out = Vec::new();
        put(&mut out, time);
        Ok(String::from_utf8(out).expect("ASCII"))
    }

    #[test]
    fn read_and_written() {
        for (text, same) in [
            ("2016-08-30T16:45:57.785Z", "2016-08-30T16:45:57.785Z"),
            ("2016-08-30T16:45:57.785+02:00", "2016-08-30T14:45:57.785Z"),
            ("2026-01-02T03:04:05.120+02:00", "2026-01-02T01:04:05.12Z"),
            ("2026-01-02t03:04z", "2026-01-02T03:04:00Z"),
            ("2026-01-02T03:04:05.Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05.900Z", "2026-01-02T03:04:05.9Z"),
            ("2026-01-02T03:04:05.000999999Z", "2026-01-02T03:04:05Z"),
            ("2024-02-29T00:00-18:00", "2024-02-29T18:00:00Z"),
            ("2024-12-31T23:59:59-00:00:01", "2025-01-01T00:00:00Z"),
            ("2024-01-01T00:00+05", "2023-12-31T19:00:00Z"),
            ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
            ("0000-03-01T00:00Z", "0000-03-01T00:00:00Z"),
            ("-0001-03-01T00:00Z", "-0001-03-01T00:00:00Z"),
            ("+12345-03-01T00:00Z", "+12345-03-01T00:00:00Z"),
            ("-200000000-03-01T00:00Z", "-200000000-03-01T00:00:00Z"),
        ] {
            assert_eq!(shown(text), Ok(same.to_owned()), "{text}");
        }
        assert_eq!(parse("1970-01-01T00:00:00.001Z"), Ok(UnixMillis(1)));
        assert_eq!(parse("2016-08-30T16:45:57.785Z"), Ok(UnixMillis(1_472_575_557_785)));
    }

    /// The first three are recorded from the original (API 3.3).
    #[test]
    fn errors_say_where() {
        for (text, index) in [
            ("2016-08-30 16:45:57", 10),
            ("", 0),
            ("2026-01-02T03:04:05", 19),
            ("2026-01-02T03:04:05.1234567890Z", 29),
            ("2026-01-02T03:04:05+0200", 22),
            ("2026-01-02T03:04:05+19:00", 19),
            ("2026-01-02T03:04:05+18:01", 19),
            ("2026-01-02T03:04:05Zx", 20),
            ("2026-13-02T03:04Z", 5),
            ("2025-02-29T03:04Z", 8),
            ("2026-01-02T24:00Z", 11),
            ("2026-1-02T03:04Z", 5),
            ("12345-01-02T03:04Z", 0),
            ("+2026-01-02T03:04Z", 0),
            ("-0000-01-02T03:04Z", 0),
            ("+999999999-01-01T00:00Z", 0),
            ("\u{e9}", 0),
        ] {
            assert_eq!(shown(text), Err(index), "{text}");
        }
        let error = parse("2016-08-30 16:45:57").expect_err("a blank");
        assert_eq!(error.to_string(), "Text '2016-08-30 16:45:57' could not be parsed at index 10");
        assert!(parse(&"x".repeat(10_000)).expect_err("no date").to_string().len() < 200);
    }

    #[test]
    fn every_time_survives() {
        let mut random = Prng::new(5);
        for round in 0..20_000 {
            let time = UnixMillis((random.next() as i64) >> random.below(40));
            let mut out = Vec::new();
            put(&mut out, time);
            let text = String::from_utf8(out).expect("ASCII");
            assert_eq!(parse(&text), Ok(time), "seed 5, round {round}: {text}");
        }
        put(&mut Vec::new(), UnixMillis(i64::MIN));
    }

    #[test]
    fn mutated_texts_never_panic() {
        let mut random = Prng::new(6);
        for _ in 0..20_000 {
            let mut text: Vec<char> = "2016-08-30T16:45:57.785+02:00".chars().collect();
            for _ in 0..=random.below(3) {
                let at = random.below(text.len() as u64) as usize;
                text[at] = ['0', '9', '-', ':', 'Z', '\u{e9}', '.', '+'][random.below(8) as usize];
            }
            text.truncate(random.below(40) as usize + 1);
            let text: String = text.iter().collect();
            if let Err(error) = parse(&text) {
                assert!(error.index <= text.chars().count(), "{text}");
            }
        }
    }
}
