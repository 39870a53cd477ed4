use super::*;

#[test]
fn rfc_6455_section_5_7_masked_hello() {
    let mut input = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    let mut at = 0;
    let mut decoder = Decoder::new(DecoderConfig { text_max: 5, binary_max: 5, deflate: false });
    assert_eq!(decoder.next(&mut input, &mut at), Ok(Some(Event::Text(&mut b"Hello".to_owned()))));
    assert_eq!(at, 11);
}
