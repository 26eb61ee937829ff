//! Parses field names, methods and addresses.

use http::{HeaderName, Method};
use ipnet::IpNet;

pub(super) fn header(name: &str) -> Result<HeaderName, String> {
    name.parse()
        .map_err(|_| format!("{name:?} is not a field name; write one, for example \"x-user-id\""))
}

pub(super) fn headers(names: &[String]) -> Result<Box<[HeaderName]>, String> {
    names.iter().map(|name| header(name)).collect()
}

/// The request fields that distinguish responses.
pub(super) fn vary(names: &[String]) -> Result<Box<[HeaderName]>, String> {
    if names.iter().any(|name| name == "*") {
        return Err("\"*\" is not a field name, and a response that varies by everything is never stored; write the names of request fields".to_owned());
    }
    headers(names)
}

pub(super) fn methods(names: &[String]) -> Result<Box<[Method]>, String> {
    names
        .iter()
        .map(|name| {
            // Methods are case-sensitive (RFC 9110 section 9.1), and no registered one is lower
            // case.
            match Method::from_bytes(name.as_bytes()) {
                Ok(method) if !name.bytes().any(|b| b.is_ascii_lowercase()) => Ok(method),
                _ => Err(format!(
                    "{name:?} is not a method; write \"{}\"",
                    suggestion(name)
                )),
            }
        })
        .collect()
}

fn suggestion(name: &str) -> String {
    let upper: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    if upper.is_empty() {
        "POST".to_owned()
    } else {
        upper.to_ascii_uppercase()
    }
}

/// Parses a CIDR block or one address.
pub(super) fn net(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map_err(|_| {
            format!("{text:?} is not a CIDR block; write \"10.0.0.0/8\" or \"2001:db8::/32\"")
        })
}
