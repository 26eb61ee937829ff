//! The identity of a request's client: its user, its credentials and its address.

mod address;
mod credentials;
mod plan;
mod user;

pub use user::UserId;

pub(crate) use address::{client_ip, truncate};
pub(crate) use credentials::CredentialNames;
pub(crate) use plan::IdentityPlan;
pub(crate) use user::{User, user};

#[cfg(test)]
mod tests;
