//! Flags and signals of every example.

use std::{
    io::{Read, Write},
    net::TcpListener,
};

use rustix::process::Signal;

use super::{
    exchange::connect,
    program::{Program, output},
};

const ALL: [(&str, &[&str]); 4] = [
    ("openforge", &[]),
    ("proxy", &["--origin", "http://127.0.0.1:1"]),
    ("axum", &[]),
    ("tonic", &[]),
];

#[test]
fn help_is_printed_with_success() {
    for (name, _) in ALL {
        let output = output(name, &["--help"]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success());
        assert!(
            text.contains(&format!("--example {name}")) && text.contains("--listen ADDR"),
            "{text}"
        );
    }
}

#[test]
fn sigint_and_sigterm_end_the_program_cleanly() {
    for (name, flags) in ALL {
        for signal in [Signal::TERM, Signal::INT] {
            let program = Program::start(name, flags);
            program.signal(signal);
            assert_eq!(program.wait().code(), Some(0), "{name} after {signal:?}");
        }
    }
}

#[test]
fn idle_connections_do_not_delay_the_shutdown() {
    for (name, flags) in ALL {
        let program = Program::start(name, flags);
        // tonic waits some time for a connection that has sent nothing.
        let silent = (name != "tonic").then(|| connect(program.address));
        let mut kept = connect(program.address);
        kept.write_all(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("it reads");
        let _ = kept.read(&mut [0; 64]).expect("a response, or the end");
        assert_eq!(program.stop().code(), Some(0), "{name}");
        drop((silent, kept));
    }
}

#[test]
fn wrong_flags_are_named() {
    let wrong: [(&[&str], &str); 4] = [
        (&["--listne", "127.0.0.1:0"], "--listne"),
        (&["--listen"], "--listen"),
        (&["--listen", "nowhere"], "nowhere"),
        (&["left-over"], "left-over"),
    ];
    for (name, flags) in ALL {
        for (wrong, named) in wrong {
            let output = output(name, &[flags, wrong].concat());
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{name} {wrong:?}: {text}");
            assert!(text.contains(named), "{text}");
        }
    }
}

#[test]
fn an_address_in_use_is_not_reported_as_a_wrong_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    for (name, flags) in ALL {
        let output = output(name, &[flags, &["--listen", &address]].concat());
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("in use"));
    }
}

#[test]
fn the_proxy_needs_a_plain_http_origin() {
    for flags in [
        &[][..],
        &["--origin", "https://a.example"],
        &["--origin", "http://a.example/path"],
    ] {
        let output = output("proxy", flags);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("--origin"));
    }
}
