//! The masking of client frames (RFC 6455 section 5.3).

/// Applies `mask` in place to payload bytes of which the first is `position` bytes into its frame. Masking
/// twice gives the bytes back.
pub(super) fn apply(mask: [u8; 4], position: u64, payload: &mut [u8]) {
    let mut mask = mask;
    mask.rotate_left((position % 4) as usize);
    // The same bytes twice: one word covers eight payload bytes, whatever the byte order of the machine.
    let word = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (words, tail) = payload.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_definition_at_every_offset_and_length() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        for position in 0..9_u64 {
            for start in 0..9 {
                for length in 0..40 {
                    let plain: Vec<u8> = (0..start + length).map(|i| (i * 7) as u8).collect();
                    let mut masked = plain.clone();
                    apply(mask, position, &mut masked[start..]);
                    let expected = plain[start..]
                        .iter()
                        .enumerate()
                        .map(|(i, byte)| byte ^ mask[(position as usize + i) % 4])
                        .collect::<Vec<_>>();
                    assert_eq!(
                        masked[start..],
                        expected,
                        "position {position}, start {start}, length {length}"
                    );
                    assert_eq!(masked[..start], plain[..start]);
                }
            }
        }
    }

    #[test]
    fn rfc_6455_section_5_7_hello() {
        let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        apply([0x37, 0xfa, 0x21, 0x3d], 0, &mut payload);
        assert_eq!(&payload, b"Hello");
    }
}
