#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rdpscope_fuzz::judge("rdp_file", bytes));
