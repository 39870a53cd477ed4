//! The protobuf wire format by hand, as far as hot paths need it: fields read as borrowed slices, and written
//! without an intermediate message. Groups and field number 0 are errors; every other unknown field can be
//! skipped.

/// Bytes are no protobuf message. `at` is the offset of the field that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) at: usize,
}

/// The content of one field, by wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// 32 or 64 fixed bits: none of the messages read by hand has such a field, so the bits are skipped.
    Fixed,
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    /// Offset of the tag in the message.
    pub(super) at: usize,
    pub(super) value: Value<'a>,
}

impl<'a> Field<'a> {
    pub(super) fn malformed(&self) -> Malformed {
        Malformed { at: self.at }
    }

    pub(super) fn u64(&self) -> Result<u64, Malformed> {
        match self.value {
            Value::Varint(number) => Ok(number),
            _ => Err(self.malformed()),
        }
    }

    /// A plain (not zig-zag) 32-bit number: the upper bits of the varint are cut off, as every protobuf
    /// reader does.
    pub(super) fn i32(&self) -> Result<i32, Malformed> {
        self.u64().map(|number| number as i32)
    }

    pub(super) fn bool(&self) -> Result<bool, Malformed> {
        self.u64().map(|number| number != 0)
    }

    pub(super) fn bytes(&self) -> Result<&'a [u8], Malformed> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.malformed()),
        }
    }

    pub(super) fn str(&self) -> Result<&'a str, Malformed> {
        simdutf8::basic::from_utf8(self.bytes()?).map_err(|_| self.malformed())
    }
}

/// Walks the fields of a message in wire order. After an error it ends.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Fields { bytes, at: 0 }
    }

    #[inline(always)]
    fn varint(&mut self) -> Option<u64> {
        // Lengths, small numbers and all tags below 16 take one byte.
        match self.bytes.get(self.at) {
            Some(&first) if first < 0x80 => {
                self.at += 1;
                Some(u64::from(first))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Option<u64> {
        let rest = self.bytes.get(self.at..)?;
        let mut number = 0u64;
        for (index, &byte) in rest.iter().take(VARINT_MAX).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                // The tenth byte holds bit 63 alone.
                let fits = index + 1 < VARINT_MAX || byte <= 1;
                self.at += index + 1;
                return fits.then_some(number);
            }
        }
        None
    }

    #[inline(always)]
    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let end = self.at.checked_add(usize::try_from(length).ok()?)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    #[inline(always)]
    fn field(&mut self) -> Option<Field<'a>> {
        let at = self.at;
        let tag = self.varint().and_then(|tag| u32::try_from(tag).ok())?;
        let number = tag >> 3;
        let value = match tag & 7 {
            VARINT => Value::Varint(self.varint()?),
            FIXED_64 => self.take(8).map(|_| Value::Fixed)?,
            LENGTH_DELIMITED => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            FIXED_32 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        (number > 0).then_some(Field { number, at, value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    // Inlined, so that a loop over the fields keeps them in registers: it is a tenth of what delivering a message costs.
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        if at == self.bytes.len() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.at = self.bytes.len();
        }
        Some(field.ok_or(Malformed { at }))
    }
}

const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;
const FIXED_32: u32 = 5;

/// Longest varint, bytes: 64 bits in groups of seven.
pub(super) const VARINT_MAX: usize = 10;

/// Bytes of a varint.
pub(super) const fn varint_size(number: u64) -> usize {
    // Significant bits in groups of seven, rounded up; 0 still takes one byte.
    (70 - (number | 1).leading_zeros() as usize) / 7
}

/// Where fields are written: a buffer, or [`Count`] to learn a size beforehand from the same code.
pub(super) trait Sink {
    fn raw(&mut self, bytes: &[u8]);

    fn varint(&mut self, mut number: u64) {
        let mut bytes = [0u8; VARINT_MAX];
        let mut length = 0;
        while number >= 0x80 {
            bytes[length] = number as u8 | 0x80;
            number >>= 7;
            length += 1;
        }
        bytes[length] = number as u8;
        self.raw(&bytes[..=length]);
    }

    fn put_varint(&mut self, field: u32, number: u64) {
        self.varint(u64::from(field << 3 | VARINT));
        self.varint(number);
    }

    /// Tag and length; the caller writes the `length` bytes.
    fn put_head(&mut self, field: u32, length: usize) {
        self.varint(u64::from(field << 3 | LENGTH_DELIMITED));
        self.varint(length as u64);
    }

    fn put_bytes(&mut self, field: u32, bytes: &[u8]) {
        self.put_head(field, bytes.len());
        self.raw(bytes);
    }

    /// One `KeyValue` of a repeated field.
    fn put_pair(&mut self, field: u32, key: &str, value: &str) {
        let length = bytes_size(key.len()) + bytes_size(value.len());
        self.put_head(field, length);
        self.put_bytes(1, key.as_bytes());
        self.put_bytes(2, value.as_bytes());
    }
}

/// Bytes of a length-delimited field with a number below 16.
const fn bytes_size(length: usize) -> usize {
    1 + varint_size(length as u64) + length
}

impl Sink for Vec<u8> {
    fn raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.push(number as u8);
    }
}

/// A sink that only counts bytes.
#[derive(Debug, Default)]
pub(super) struct Count(pub(super) usize);

impl Sink for Count {
    fn raw(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn varint(&mut self, number: u64) {
        self.0 += varint_size(number);
    }
}

/// A sink on the stack, for headers whose size is bounded. Writing more than `N` bytes is a bug of ours and
/// panics.
#[derive(Debug)]
pub(super) struct Stack<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Stack<N> {
    pub(super) fn new() -> Self {
        Stack { bytes: [0; N], length: 0 }
    }

    pub(super) fn written(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl<const N: usize> Sink for Stack<N> {
    fn raw(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    // Byte by byte in place: to copy a few bytes of a length not known beforehand is a call.
    #[inline]
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes[self.length] = number as u8 | 0x80;
            self.length += 1;
            number >>= 7;
        }
        self.bytes[self.length] = number as u8;
        self.length += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_at_every_length() {
        for shift in 0..64 {
            for number in [(1u64 << shift) - 1, 1 << shift, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                bytes.varint(number);
                assert_eq!(bytes.len(), varint_size(number), "{number}");
                assert_eq!(bytes.len(), prost::encoding::encoded_len_varint(number), "{number}");
                let mut fixed = Stack::<VARINT_MAX>::new();
                fixed.varint(number);
                assert_eq!(fixed.written(), bytes);
                let mut fields = Fields::new(&bytes);
                assert_eq!(fields.varint(), Some(number));
                assert_eq!(fields.at, bytes.len());
                bytes.pop();
                assert_eq!(Fields::new(&bytes).varint(), None, "{number} cut off");
            }
        }
    }

    #[test]
    fn varints_that_do_not_fit() {
        let eleven = [0xff; 11];
        assert_eq!(Fields::new(&eleven).varint(), None);
        let mut ten = [0xff; 10];
        ten[9] = 2;
        assert_eq!(Fields::new(&ten).varint(), None);
        ten[9] = 1;
        assert_eq!(Fields::new(&ten).varint(), Some(u64::MAX));
    }

    #[test]
    fn unknown_fields_are_passed_and_groups_are_not() {
        fn walk(bytes: &[u8]) -> Result<Vec<Field<'_>>, Malformed> {
            Fields::new(bytes).collect()
        }
        let fixed = [0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x15, 1, 2, 3, 4, 0x1a, 1, 9];
        let fields = walk(&fixed).unwrap();
        assert_eq!(fields.iter().map(|field| field.number).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(fields[2].value, Value::Bytes(&[9]));
        for (bad, at) in [
            (&[0x0b, 0x0c][..], 0),
            (&[0x08, 1, 0x0c], 2),
            (&[0x0e], 0),
            (&[0x0f], 0),
            (&[0x00, 0x00], 0),
            (&[0x0a, 2, 1], 0),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], 0),
            (&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 1], 0),
            (&[0x09, 1], 0),
            (&[0x0d, 1], 0),
        ] {
            assert_eq!(walk(bad), Err(Malformed { at }), "{bad:x?}");
        }
    }

    #[test]
    fn the_walk_ends_after_an_error() {
        let mut fields = Fields::new(&[0x0b, 0x08, 1]);
        assert!(fields.next().unwrap().is_err());
        assert_eq!(fields.next(), None);
    }
}
