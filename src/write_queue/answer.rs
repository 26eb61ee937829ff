//! The response to an applied write, as the queue keeps it.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use super::codec::{RecordReader, RecordWriter, Unreadable};

/// The service's response to an attempt; its body may have been cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuedAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether the body is shorter than the service's.
    pub(crate) is_cut: bool,
}

impl QueuedAnswer {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = RecordWriter::new(self.body.len() + 256);
        let [high, low] = self.status.as_u16().to_be_bytes();
        out.byte(high);
        out.byte(low);
        out.byte(u8::from(self.is_cut));
        out.fields(&self.headers);
        out.bytes(&self.body);
        out.finish()
    }

    /// # Errors
    ///
    /// If the bytes are not a response of this version.
    pub(crate) fn decode(stored: &Bytes) -> Result<Self, Unreadable> {
        let mut read = RecordReader::new(stored)?;
        let status = u16::from_be_bytes([read.byte()?, read.byte()?]);
        let status = StatusCode::from_u16(status).map_err(|_| Unreadable::Damaged)?;
        Ok(Self {
            status,
            is_cut: read.byte()? != 0,
            headers: read.fields()?,
            body: read.bytes()?,
        })
    }

    pub(crate) fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let answer = QueuedAnswer {
            status: StatusCode::CREATED,
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"done"),
            is_cut: true,
        };
        assert_eq!(QueuedAnswer::decode(&answer.encode()), Ok(answer));
        let unknown = Bytes::from_static(b"TKQ\x02....");
        assert_eq!(
            QueuedAnswer::decode(&unknown),
            Err(Unreadable::UnknownVersion)
        );
        assert_eq!(
            QueuedAnswer::decode(&Bytes::new()),
            Err(Unreadable::Damaged)
        );
    }
}
