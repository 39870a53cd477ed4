//! The binary protocol at the places where its encoders always put things: what a hot loop needs of a frame without
//! reading all of it. Anything that is not as expected is `None`, and the caller falls back to the whole decoder.

/// Types of commands (`BaseCommand.type`) that the hot loops know.
pub(crate) const SEND: u8 = 6;
pub(crate) const RECEIPT: u8 = 7;
pub(crate) const MESSAGE: u8 = 9;
pub(crate) const ACK: u8 = 10;
pub(crate) const FLOW: u8 = 11;
/// Largest frame taken from a peer: Pulsar's 5 MiB and room for metadata.
pub(crate) const FRAME_MAX: usize = 6 << 20;
/// `[total][command size]`.
pub(crate) const SIZES: usize = 8;

/// Bytes of a padded varint that holds 35 bits: enough for ids and sequence numbers of a run, at a fixed place.
pub(crate) const PADDED: usize = 5;

/// The type of a whole frame's command; 0 if it does not come first.
pub(crate) fn kind(frame: &[u8]) -> u8 {
    match frame.get(SIZES..SIZES + 2) {
        Some(&[0x08, kind]) => kind,
        _ => 0,
    }
}

/// A number in protobuf's form at `at`, which moves behind it.
pub(crate) fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Takes the byte `tag` at `at`.
fn tag(bytes: &[u8], at: &mut usize, tag: u8) -> Option<()> {
    (*bytes.get(*at)? == tag).then(|| *at += 1)
}

/// Where the command's own message begins: behind `08 type tag length`.
fn body(frame: &[u8]) -> Option<usize> {
    let mut at = SIZES + 3;
    varint(frame, &mut at)?;
    Some(at)
}

/// Fields 1 and 2 of a command, both numbers: (producer, sequence) of SEND and its receipt, (consumer, permits) of FLOW.
pub(crate) fn two_numbers(frame: &[u8]) -> Option<(u64, u64)> {
    let mut at = body(frame)?;
    tag(frame, &mut at, 0x08)?;
    let first = varint(frame, &mut at)?;
    tag(frame, &mut at, 0x10)?;
    Some((first, varint(frame, &mut at)?))
}

/// Consumer and serialised message id of a MESSAGE.
pub(crate) fn delivery(frame: &[u8]) -> Option<(u64, &[u8])> {
    let mut at = body(frame)?;
    tag(frame, &mut at, 0x08)?;
    let consumer = varint(frame, &mut at)?;
    tag(frame, &mut at, 0x12)?;
    let length = varint(frame, &mut at)? as usize;
    Some((consumer, frame.get(at..at.checked_add(length)?)?))
}

/// Whether an ACK has a request id (field 8), walking over its other fields. What cannot be walked has one.
pub(crate) fn has_request(frame: &[u8]) -> bool {
    let walk = || -> Option<bool> {
        let mut at = body(frame)?;
        while at < frame.len() {
            let tag = *frame.get(at)?;
            at += 1;
            match tag {
                0x40 => return Some(true),
                // A message id, or a property.
                0x1a | 0x2a => {
                    let length = varint(frame, &mut at)? as usize;
                    at = at.checked_add(length)?;
                }
                _ => {
                    varint(frame, &mut at)?;
                }
            }
        }
        Some(false)
    };
    walk().unwrap_or(true)
}

/// What follows the command: the entry.
pub(crate) fn entry(frame: &[u8]) -> Option<&[u8]> {
    let command = u32::from_be_bytes(frame.get(4..8)?.try_into().ok()?) as usize;
    frame.get(SIZES.checked_add(command)?..)
}

/// The payload of an entry with a right checksum and no broker metadata. `None`: it is not such a one.
pub(crate) fn payload(entry: &[u8]) -> Option<&[u8]> {
    let summed = entry.strip_prefix(&[0x0e, 0x01])?;
    let (sum, summed) = summed.split_first_chunk::<4>()?;
    if crc32c::crc32c(summed) != u32::from_be_bytes(*sum) {
        return None;
    }
    let (size, rest) = summed.split_first_chunk::<4>()?;
    rest.get(u32::from_be_bytes(*size) as usize..)
}

/// Writes a number as a varint of exactly [`PADDED`] bytes: longer than need be, but legal, and always at one place.
pub(crate) fn put_padded(place: &mut [u8], number: u64) {
    for (index, byte) in place[..PADDED].iter_mut().enumerate() {
        let more = if index + 1 < PADDED { 0x80 } else { 0 };
        *byte = (number >> (7 * index)) as u8 & 0x7f | more;
    }
}

/// Appends a number in its shortest form.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a receipt as a broker writes it: producer, sequence, message id (ledger, entry), and highest sequence 0.
pub(crate) fn put_receipt(out: &mut Vec<u8>, producer: u64, sequence: u64, ledger: u64, entry: u64) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0x08, RECEIPT, RECEIPT << 3 | 2, 0, 0x08]);
    let inner = out.len() - 1;
    put_varint(out, producer);
    out.push(0x10);
    put_varint(out, sequence);
    out.extend_from_slice(&[0x1a, 0, 0x08]);
    let id = out.len() - 1;
    put_varint(out, ledger);
    out.push(0x10);
    put_varint(out, entry);
    out[id - 1] = (out.len() - id) as u8;
    out.extend_from_slice(&[0x20, 0]);
    out[inner - 1] = (out.len() - inner) as u8;
    close_command(&mut out[start..]);
}

/// Appends one message id to the list for [`put_ack`]; `id` is serialised.
pub(crate) fn put_ack_id(list: &mut Vec<u8>, id: &[u8]) {
    list.extend_from_slice(&[0x1a, id.len() as u8]);
    list.extend_from_slice(id);
}

/// Appends the ACK of a list of ids, each by itself.
pub(crate) fn put_ack(out: &mut Vec<u8>, consumer: u64, ids: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0x08, ACK, ACK << 3 | 2]);
    put_varint(out, (1 + PADDED + 2 + ids.len()) as u64);
    out.push(0x08);
    let at = out.len();
    out.extend_from_slice(&[0; PADDED]);
    put_padded(&mut out[at..], consumer);
    out.extend_from_slice(&[0x10, 0]);
    out.extend_from_slice(ids);
    close_command(&mut out[start..]);
}

/// Fills in the two sizes of a frame without an entry.
pub(crate) fn close_command(frame: &mut [u8]) {
    let size = frame.len() as u32;
    frame[..4].copy_from_slice(&(size - 4).to_be_bytes());
    frame[4..8].copy_from_slice(&(size - 8).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulsegate::wire::pulsar::{Command, frame, proto};

    #[test]
    fn a_receipt_is_what_the_library_reads() {
        for (producer, sequence, ledger, entry) in [(0, 0, 0, 0), (127, 128, 1 << 20, 1 << 40)] {
            let mut out = Vec::new();
            put_receipt(&mut out, producer, sequence, ledger, entry);
            assert_eq!(kind(&out), RECEIPT);
            assert_eq!(two_numbers(&out), Some((producer, sequence)));
            let expected = Command::SendReceipt(proto::CommandSendReceipt {
                producer_id: producer,
                sequence_id: sequence,
                message_id: Some(proto::MessageIdData {
                    ledger_id: ledger,
                    entry_id: entry,
                    ..Default::default()
                }),
                highest_sequence_id: Some(0),
            });
            assert_eq!(frame::read(&out).expect("a frame").command, expected);
        }
    }

    #[test]
    fn the_library_s_frames_are_read_at_their_places() {
        let mut out = Vec::new();
        frame::put_send(&mut out, 300, 70_000, None, 1, b"entry");
        assert_eq!((kind(&out), two_numbers(&out)), (SEND, Some((300, 70_000))));
        assert_eq!(entry(&out), Some(&b"entry"[..]));
        for cut in 0..out.len() {
            let _: (u8, Option<_>, Option<_>) =
                (kind(&out[..cut]), two_numbers(&out[..cut]), entry(&out[..cut]));
        }
        let mut number = [0; PADDED];
        for value in [0, 1, 127, 128, (1 << 35) - 1] {
            put_padded(&mut number, value);
            assert_eq!(varint(&number, &mut 0), Some(value));
            let mut short = Vec::new();
            put_varint(&mut short, value);
            assert_eq!(varint(&short, &mut 0), Some(value));
        }
    }

    #[test]
    fn an_ack_is_one_for_the_library() {
        let (mut list, mut out) = (Vec::new(), Vec::new());
        put_ack_id(&mut list, &[0x08, 1, 0x10, 2]);
        put_ack_id(&mut list, &[0x08, 1, 0x10, 3]);
        put_ack(&mut out, 300, &list);
        let Command::Ack(ack) = frame::read(&out).expect("a frame").command else { panic!("an ack") };
        let entries: Vec<_> = ack.message_id.iter().map(|id| (id.ledger_id, id.entry_id)).collect();
        assert_eq!((ack.consumer_id, &entries[..]), (300, &[(1, 2), (1, 3)][..]));
        assert!(!has_request(&out));
    }

    #[test]
    fn a_payload_needs_its_checksum() {
        let mut summed = 3_u32.to_be_bytes().to_vec();
        summed.extend_from_slice(b"mdapayload");
        let mut entry = vec![0x0e, 0x01];
        entry.extend_from_slice(&crc32c::crc32c(&summed).to_be_bytes());
        entry.extend_from_slice(&summed);
        assert_eq!(payload(&entry), Some(&b"payload"[..]));
        *entry.last_mut().expect("bytes") ^= 1;
        assert_eq!(payload(&entry), None);
    }
}
