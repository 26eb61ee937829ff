//! Values that Redis may hold in place of an entry.

/// Unreadable values made from a readable one, each with the kind under which it is counted.
pub(crate) fn unreadable(whole: &[u8], flipped_at: usize) -> [(&'static str, Vec<u8>); 7] {
    let mut flipped = whole.to_vec();
    flipped[flipped_at] ^= 1;
    let mut future = whole.to_vec();
    future[8] = 9;
    let checksum = crc32fast::hash(&future[8..]);
    future[4..8].copy_from_slice(&checksum.to_be_bytes());
    let mut gigantic = vec![b'x'; 64 << 20];
    gigantic[..whole.len()].copy_from_slice(whole);
    [
        ("damaged", whole[..50].to_vec()),
        ("damaged", flipped),
        ("damaged", gigantic),
        ("unknown", future),
        ("foreign", b"{}".to_vec()),
        ("foreign", b"{\"a\":1}".to_vec()),
        ("foreign", Vec::new()),
    ]
}
