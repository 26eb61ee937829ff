//! A minimal Redis client: one blocking connection for each command.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

/// A reply of RESP2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Nil,
    Status(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Array(Vec<Self>),
}

impl Reply {
    /// Text of a status, an error, a number or a string; lines for an array.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Nil => String::new(),
            Self::Status(text) | Self::Error(text) => text.clone(),
            Self::Int(n) => n.to_string(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Array(items) => items.iter().map(Self::text).collect::<Vec<_>>().join("\n"),
        }
    }

    pub(crate) fn strings(&self) -> Vec<String> {
        match self {
            Self::Array(items) => items.iter().map(Self::text).collect(),
            one => vec![one.text()],
        }
    }
}

/// Sends one command to `127.0.0.1:port`.
pub(crate) fn command<A: AsRef<[u8]>>(port: u16, arguments: &[A]) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut message = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        message.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        message.extend_from_slice(argument);
        message.extend_from_slice(b"\r\n");
    }
    stream.write_all(&message)?;
    read(&mut BufReader::new(stream))
}

fn read(from: &mut impl BufRead) -> io::Result<Reply> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let (kind, rest) = line.trim_end().split_at(1);
    let number = || rest.parse::<i64>().map_err(io::Error::other);
    Ok(match kind {
        "+" => Reply::Status(rest.into()),
        "-" => Reply::Error(rest.into()),
        ":" => Reply::Int(number()?),
        "$" => match usize::try_from(number()?) {
            Ok(length) => {
                let mut bytes = vec![0; length + 2];
                from.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Reply::Bulk(bytes)
            }
            Err(_) => Reply::Nil,
        },
        "*" => match usize::try_from(number()?) {
            Ok(length) => Reply::Array((0..length).map(|_| read(from)).collect::<Result<_, _>>()?),
            Err(_) => Reply::Nil,
        },
        _ => return Err(io::Error::other(line)),
    })
}
