//! The journal's keys, which share one slot.

#[derive(Debug)]
pub(super) struct JournalKeys {
    pub(super) meta: Box<[u8]>,
    pub(super) latest: Box<[u8]>,
    pub(super) feed: Box<[u8]>,
}

impl JournalKeys {
    pub(super) fn new(namespace: &str) -> Self {
        let key = |end: &str| {
            let key = format!("{namespace}cache:keep:{{journal}}:{end}");
            key.into_bytes().into_boxed_slice()
        };
        Self {
            meta: key("m"),
            latest: key("z"),
            feed: key("s"),
        }
    }
}
