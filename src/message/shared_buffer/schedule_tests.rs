//! The buffer under many interleavings of its writer and its readers.

use std::future::poll_fn;

use bytes::Bytes;
use shuttle::{future::block_on, thread};

use super::{BodyEnd, BodyReader, BodyWriter, channel};
use crate::{error::BoxError, message::buffer_budget::BufferPermit, schedule::explore};

const CHUNKS: [&str; 4] = ["one", "two", "three", "four"];
const WHOLE: &str = "onetwothreefour";
/// Holds one chunk, or two short ones.
const SMALL: usize = 6;
const LARGE: usize = 1024;

/// Writes as a fill does: waits for the readers whenever the body exceeds the cap.
fn write(writer: BodyWriter) {
    block_on(async {
        for chunk in CHUNKS {
            if !writer.ready().await {
                return;
            }
            writer.push(Bytes::from_static(chunk.as_bytes()));
        }
        writer.finish(BodyEnd::Complete(None));
    });
}

fn read(mut reader: BodyReader) -> Result<String, BoxError> {
    let mut text = String::new();
    block_on(async {
        while let Some(frame) = poll_fn(|cx| reader.poll_frame(cx)).await {
            let data = frame?.into_data().expect("no trailers");
            text.push_str(std::str::from_utf8(&data).expect("text"));
        }
        Ok(text)
    })
}

#[test]
fn the_first_reader_gets_the_whole_body_whatever_its_size() {
    for cap in [SMALL, LARGE] {
        explore(move || {
            let (writer, body) = channel(cap, None, BufferPermit::default());
            let reader = body.reader().expect("the first byte is held");
            let writing = thread::spawn(move || write(writer));
            assert_eq!(read(reader).expect("no failure"), WHOLE);
            writing.join().expect("no panic");
        });
    }
}

#[test]
fn a_late_reader_gets_the_whole_body_or_an_error() {
    for cap in [SMALL, LARGE] {
        explore(move || {
            let (writer, body) = channel(cap, None, BufferPermit::default());
            let first = body.reader().expect("the first byte is held");
            let writing = thread::spawn(move || write(writer));
            let late = thread::spawn(move || match body.reader() {
                Ok(reader) => read(reader).ok(),
                Err(_) => None,
            });
            assert_eq!(read(first).expect("no failure"), WHOLE);
            let late = late.join().expect("no panic");
            match late {
                Some(text) => assert_eq!(text, WHOLE),
                None => assert_eq!(cap, SMALL, "a body within the cap is kept"),
            }
            writing.join().expect("no panic");
        });
    }
}

#[test]
fn a_reader_that_leaves_stalls_neither_the_writer_nor_other_readers() {
    explore(|| {
        let (writer, body) = channel(SMALL, None, BufferPermit::default());
        let mut leaving = body.reader().expect("the first byte is held");
        let staying = body.reader().expect("the first byte is held");
        let writing = thread::spawn(move || write(writer));
        let left = thread::spawn(move || {
            let _ = block_on(poll_fn(|cx| leaving.poll_frame(cx)));
        });
        if let Ok(text) = read(staying) {
            assert_eq!(text, WHOLE);
        }
        left.join().expect("no panic");
        writing.join().expect("no panic");
    });
}

#[test]
fn a_writer_waits_no_longer_than_there_are_readers() {
    explore(|| {
        let (writer, body) = channel(LARGE, None, BufferPermit::default());
        let readers = [(); 2].map(|()| body.reader().expect("the first byte is held"));
        let leaving = readers.map(|reader| thread::spawn(move || drop(reader)));
        block_on(writer.wait_until_abandoned());
        assert!(writer.is_abandoned());
        for thread in leaving {
            thread.join().expect("no panic");
        }
    });
}

#[test]
fn a_writer_that_is_dropped_fails_its_readers() {
    explore(|| {
        let (writer, body) = channel(LARGE, None, BufferPermit::default());
        let readers = [(); 2].map(|()| body.reader().expect("the first byte is held"));
        let reading = readers.map(|reader| thread::spawn(move || read(reader).is_err()));
        writer.push(Bytes::from_static(b"one"));
        drop(writer);
        for thread in reading {
            assert!(
                thread.join().expect("no panic"),
                "part of a body is no body"
            );
        }
    });
}
