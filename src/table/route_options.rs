use serde::Deserialize;

/// The clients that a stored response may be served to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Scope {
    /// Every client: the author of the table guarantees that the response is the same for all.
    Public,
    /// Only the user it was made for: the user is part of the key.
    User,
}

/// The effect of a successful write on the stored response of its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Write {
    /// The stored response becomes unusable.
    #[default]
    Invalidate,
    /// The stored response is replaced.
    Through,
    /// The write is accepted at once and applied later, one at a time per key and in the order of
    /// acceptance: see [`write_behind`](crate::write_behind). The stored response becomes unusable when
    /// it is applied.
    Behind,
}

/// What a GET shows of writes that have been accepted, but not yet applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PendingMode {
    /// Nothing.
    #[default]
    Ignore,
    /// The content of the last PUT; 404 after a DELETE.
    Body,
    /// The contents of POSTs as elements at the front of a JSON array, latest first.
    Prepend,
    /// The contents of POSTs as elements at the end of a JSON array, oldest first.
    Append,
}

impl PendingMode {
    /// Whether pending writes are elements of a JSON array.
    pub(crate) fn is_list(self) -> bool {
        matches!(self, Self::Prepend | Self::Append)
    }
}

/// The response that replaces the stored one on write-through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Through {
    /// The response to a GET that is sent to the handler after the write.
    #[default]
    Refetch,
    /// The response to the write itself.
    Answer,
}

/// Whether a gRPC method reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Grpc {
    /// It changes nothing, and is handled as a safe HTTP method. Its response is stored if the route's key
    /// contains `{#body}`, both sides send exactly one message, and `grpc-status` is 0; other calls pass.
    Read,
    /// It may change something, and is handled as an unsafe HTTP method.
    Write,
}

/// Whether the `Cache-Control` of requests is obeyed (RFC 9111 section 5.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RequestDirectives {
    /// It is obeyed.
    #[default]
    Obey,
    /// It is ignored, so that clients cannot force requests to the inner service.
    Ignore,
}
