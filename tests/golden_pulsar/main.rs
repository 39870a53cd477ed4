//! Golden bytes of the Pulsar binary protocol. The vectors were made with the official protobuf schema and
//! library and with independent CRC32C, hash and compression implementations, or recorded from the C++ client
//! (protocol 18).

mod commands;
mod consumer_commands;
mod parts;
mod payloads;

/// Bytes of hexadecimal digits.
fn hex(text: &str) -> Vec<u8> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty(), "half a byte in {text}");
    let digit = |digit: u8| char::from(digit).to_digit(16).expect("a hexadecimal digit") as u8;
    pairs.iter().map(|&[high, low]| digit(high) << 4 | digit(low)).collect()
}
