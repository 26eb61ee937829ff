/// What must have happened before a write counts as accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// It is in the memory of Redis, and as durable as its persistence is configured.
    #[default]
    Memory,
    /// Redis has synced it to its append-only file. Requires Redis 7.2 or Valkey, and `appendonly yes`.
    Fsync,
    /// So many replicas have it.
    Replicas(u8),
}
