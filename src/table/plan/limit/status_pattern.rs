use http::StatusCode;

/// One of the response statuses that give a cost back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusPattern {
    /// `5xx`
    Class(u16),
    /// `404`
    Code(u16),
}

impl StatusPattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let class = text.strip_suffix("xx").and_then(|class| class.parse().ok());
        match (class, text.parse().ok()) {
            (Some(class @ 1..=5), _) => Ok(Self::Class(class)),
            (_, Some(code @ 100..=599)) => Ok(Self::Code(code)),
            _ => Err(format!("{text:?} is no status; write \"5xx\" or \"404\"")),
        }
    }

    pub(super) fn matches(self, status: StatusCode) -> bool {
        match self {
            Self::Class(class) => status.as_u16() / 100 == class,
            Self::Code(code) => status.as_u16() == code,
        }
    }
}
