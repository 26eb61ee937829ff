//! TLS, which needs the feature `tls`.

use crate::error::Error;

/// Trusts one certificate authority only.
#[cfg(feature = "tls")]
pub(super) fn certificates(root: &[u8]) -> redis::TlsCertificates {
    redis::TlsCertificates {
        client_tls: None,
        root_cert: Some(root.to_vec()),
    }
}

/// Prepares for a URL with this scheme: rustls has no cryptography of its own and would panic if
/// the application chose none.
pub(super) fn prepare(scheme: &str) -> Result<(), Error> {
    if !scheme.starts_with("rediss") {
        return Ok(());
    }
    #[cfg(not(feature = "tls"))]
    return Err(Error::config("rediss:// needs tower-keep's feature `tls`"));
    #[cfg(feature = "tls")]
    {
        // Fails if the application has installed its own provider, which works too.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(())
    }
}
