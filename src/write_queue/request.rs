//! The request of an accepted write, as the queue keeps it.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};

use super::codec::{RecordReader, RecordWriter, Unreadable};
use crate::key::purge::{Purge, PurgeTarget};

/// The request of an accepted write, and what its application invalidates. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuedRequest {
    /// The key whose writes are applied in order.
    pub(crate) key: Box<str>,
    /// The path of its route, as written in the table.
    pub(crate) route: Box<str>,
    pub(crate) method: Method,
    /// The target as received, before a router removed a prefix.
    pub(crate) uri: Uri,
    /// The request's authority.
    pub(crate) host: Option<Box<str>>,
    /// The fields that the service may need; never credentials.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) user: Option<Box<str>>,
    /// Whether what the write shows before it is applied may be shown to every user.
    pub(crate) is_vouched: bool,
    /// What the write invalidates, resolved when it was accepted.
    pub(crate) targets: Vec<PurgeTarget>,
}

impl QueuedRequest {
    /// The request itself, for the application.
    pub(crate) fn into_request(self) -> Request<Bytes> {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = RecordWriter::new(self.body.len() + 512);
        out.text(&self.key);
        out.text(&self.route);
        out.text(self.method.as_str());
        out.text(&self.uri.to_string());
        out.optional(self.host.as_deref());
        out.optional(self.user.as_deref());
        out.byte(u8::from(self.is_vouched));
        out.count(self.targets.len());
        for target in &self.targets {
            out.text(&Purge::hard(target.clone()).to_string());
        }
        out.fields(&self.headers);
        out.bytes(&self.body);
        out.finish()
    }

    /// # Errors
    ///
    /// If the bytes are not a record of this version.
    pub(crate) fn decode(record: &Bytes) -> Result<Self, Unreadable> {
        let mut read = RecordReader::new(record)?;
        let (key, route) = (read.text()?, read.text()?);
        let method = Method::from_bytes(&read.bytes()?);
        let uri = Uri::from_maybe_shared(read.bytes()?);
        let (Ok(method), Ok(uri)) = (method, uri) else {
            return Err(Unreadable::Damaged);
        };
        let (host, user) = (read.optional()?, read.optional()?);
        let is_vouched = read.byte()? != 0;
        let count = read.count()?;
        if count > MAX_TARGETS {
            return Err(Unreadable::Damaged);
        }
        let targets = (0..count).map(|_| Ok(Purge::read(&read.bytes()?).target));
        let targets = targets.collect::<Result<_, _>>()?;
        Ok(Self {
            key,
            route,
            method,
            uri,
            host,
            headers: read.fields()?,
            body: read.bytes()?,
            user,
            is_vouched,
            targets,
        })
    }
}

/// The most targets of a request; more than a table's templates can name.
pub(crate) const MAX_TARGETS: usize = 4096;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn request() -> QueuedRequest {
        QueuedRequest {
            key: "agent:7:activity".into(),
            route: "/agents/{id}/activity".into(),
            method: Method::POST,
            uri: Uri::from_static("/agents/7/activity?x=%20"),
            host: Some("api.example.com".into()),
            headers: [("content-type", "application/json"), ("accept", "*/*")]
                .into_iter()
                .map(|(name, value)| {
                    let name = http::HeaderName::from_static(name);
                    (name, HeaderValue::from_static(value))
                })
                .collect(),
            body: Bytes::from_static(b"{\"a\":1}"),
            user: Some("alice".into()),
            is_vouched: true,
            targets: vec![
                PurgeTarget::Key("agent:7:activity".into()),
                PurgeTarget::Everything,
            ],
        }
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let request = request();
        assert_eq!(
            QueuedRequest::decode(&request.encode()),
            Ok(request.clone())
        );
        let anonymous = QueuedRequest {
            user: None,
            host: None,
            targets: Vec::new(),
            body: Bytes::new(),
            headers: HeaderMap::new(),
            ..request
        };
        assert_eq!(QueuedRequest::decode(&anonymous.encode()), Ok(anonymous));
    }

    #[test]
    fn damaged_and_later_records_are_told_apart() {
        let record = request().encode();
        for at in 0..record.len() {
            let mut damaged = record.to_vec();
            damaged[at] ^= 0x40;
            let expected = if at == 3 {
                Unreadable::UnknownVersion
            } else {
                Unreadable::Damaged
            };
            assert_eq!(
                QueuedRequest::decode(&damaged.into()),
                Err(expected),
                "{at}"
            );
            let short = record.slice(..at);
            assert_eq!(QueuedRequest::decode(&short), Err(Unreadable::Damaged));
        }
    }
}
