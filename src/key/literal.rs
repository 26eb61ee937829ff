/// Whether `byte` may appear unencoded in the keys and templates that authors write.
pub(crate) fn is_literal(byte: u8) -> bool {
    byte.is_ascii_graphic() && !RESERVED.contains(&byte)
}

/// Bytes that begin a variation, a wildcard, a placeholder or a Cluster hash tag.
const RESERVED: &[u8] = b"*?[]\\{}@#~";
