#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tower_keep::__fuzz::wire(data));
