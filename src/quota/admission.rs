use std::fmt;

/// The time and the cost of an admission, in the format in which Redis holds them: 7 and 5 bytes,
/// little endian.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admission([u8; ADMISSION_SIZE]);

impl Admission {
    /// `time` in microseconds. Both numbers are lowered to what fits, which no clock and no limit
    /// exceeds.
    #[inline]
    pub(crate) fn new(time: u64, cost: u64) -> Self {
        let both = u128::from(time.min(MAX_TIME)) | u128::from(cost.min(MAX_COST)) << TIME_BITS;
        let [bytes @ .., _, _, _, _] = both.to_le_bytes();
        Self(bytes)
    }

    #[inline]
    pub(crate) fn time(&self) -> u64 {
        let [bytes @ .., _, _, _, _] = self.0;
        u64::from_le_bytes(bytes) & MAX_TIME
    }

    #[inline]
    pub(crate) fn cost(&self) -> u64 {
        let [_, _, _, _, bytes @ ..] = self.0;
        u64::from_le_bytes(bytes) >> (64 - COST_BITS)
    }
}

impl From<[u8; ADMISSION_SIZE]> for Admission {
    fn from(bytes: [u8; ADMISSION_SIZE]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("time", &self.time())
            .field("cost", &self.cost())
            .finish()
    }
}

/// The size of an admission in bytes.
pub(crate) const ADMISSION_SIZE: usize = 12;

const TIME_BITS: u32 = 56;
const COST_BITS: u32 = 40;

const MAX_TIME: u64 = (1 << TIME_BITS) - 1;
const MAX_COST: u64 = (1 << COST_BITS) - 1;
