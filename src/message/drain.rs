//! Reading a body to its end without keeping it.

use std::{future::poll_fn, pin::pin};

use http_body::Body;

/// Reads `body` to its end and drops what it reads.
pub(crate) async fn drain<B: Body>(body: B) -> Result<(), B::Error> {
    let mut body = pin!(body);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        frame?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, io};

    use bytes::Bytes;
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{Empty, StreamBody};

    use super::*;

    type Frames = Vec<Result<Frame<Bytes>, io::Error>>;

    #[tokio::test]
    async fn draining_ends_with_the_body_or_its_error() {
        let frames = ["one", "two"].map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
        let body = StreamBody::new(stream::iter::<Frames>(frames.into()));
        assert!(drain(body).await.is_ok());
        let frames = vec![Err(io::Error::other("reset"))];
        let body = StreamBody::new(stream::iter::<Frames>(frames));
        assert!(drain(body).await.is_err());
        let ended: Result<(), Infallible> = drain(Empty::<Bytes>::new()).await;
        assert_eq!(ended, Ok(()));
    }
}
