//! A certificate authority for one test.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// Writes `ca.pem`, `server.pem` and `server.key` for `127.0.0.1` and `localhost`; the authority's
/// certificate as PEM.
pub(crate) fn write(dir: &Path) -> String {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().expect("a key");
    let root = authority.self_signed(&authority_key).expect("a root");
    let issuer = Issuer::new(authority, authority_key);

    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(names)
        .and_then(|server| server.signed_by(&key, &issuer))
        .expect("a certificate");

    let write = |name: &str, pem: String| {
        std::fs::write(dir.join(name), pem).expect("the directory is ours");
    };
    write("ca.pem", root.pem());
    write("server.pem", server.pem());
    write("server.key", key.serialize_pem());
    root.pem()
}
