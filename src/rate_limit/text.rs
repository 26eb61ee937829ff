//! Text of a field, written on the stack: one limit's always fits.

/// A name of 64 bytes, two numbers of 20 and what stands between them fit.
const INLINE: usize = 128;

pub(super) struct Text {
    inline: [u8; INLINE],
    /// Of what is inline.
    len: usize,
    /// Everything, once it does not fit.
    spilt: Vec<u8>,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            inline: [0; INLINE],
            len: 0,
            spilt: Vec::new(),
        }
    }
}

impl Text {
    pub(super) fn bytes(&self) -> &[u8] {
        if self.spilt.is_empty() {
            &self.inline[..self.len]
        } else {
            &self.spilt
        }
    }

    /// Begins the next element of a list.
    pub(super) fn separate(&mut self) {
        if self.len > 0 {
            self.push(b",");
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        match self.inline.get_mut(self.len..end) {
            Some(room) if self.spilt.is_empty() => {
                room.copy_from_slice(bytes);
                self.len = end;
            }
            _ => self.spill(bytes),
        }
    }

    #[cold]
    fn spill(&mut self, bytes: &[u8]) {
        if self.spilt.is_empty() {
            self.spilt.extend_from_slice(&self.inline[..self.len]);
        }
        self.spilt.extend_from_slice(bytes);
    }

    /// Two digits at a time: a division takes longer than all the rest.
    pub(super) fn push_number(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        while number >= 10 {
            let pair = (number % 100) as usize;
            number /= 100;
            at -= 2;
            digits[at..at + 2].copy_from_slice(&PAIRS[pair]);
        }
        if number > 0 || at == digits.len() {
            at -= 1;
            digits[at] = b'0' + number as u8;
        }
        self.push(&digits[at..]);
    }
}

/// The two digits of each number below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        let n = number as u8;
        pairs[number] = [b'0' + n / 10, b'0' + n % 10];
        number += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal() {
        let near_powers = (0..20).flat_map(|n| {
            let power = 10_u64.pow(n);
            [power - 1, power, power + 1]
        });
        for number in near_powers.chain([0, 7, 10, 99, 100, 905, 12_345, u64::MAX]) {
            let mut text = Text::default();
            text.push_number(number);
            assert_eq!(text.bytes(), number.to_string().as_bytes());
        }
    }

    #[test]
    fn what_does_not_fit_is_written_all_the_same() {
        let (mut text, mut expected) = (Text::default(), String::new());
        for number in 0..100 {
            text.separate();
            text.push(b"limit=");
            text.push_number(number);
            let comma = if expected.is_empty() { "" } else { "," };
            expected += &format!("{comma}limit={number}");
            assert_eq!(text.bytes(), expected.as_bytes());
        }
    }
}
