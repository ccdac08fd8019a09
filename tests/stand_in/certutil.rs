//! What stands in for certutil under Wine, which has none: it adds a certificate to the root store of the current user,
//! finds it there and deletes it, as Windows' own program does where nothing forbids it; where `STAND_IN_POLICY` is set it
//! refuses as that does under a policy. The store is Wine's own, which the program under test reads by itself.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ["-user", verb, "Root", object] = words[..] else {
        println!("Unknown arg: {arguments:?}");
        return ExitCode::from(87);
    };
    let changes = verb != "-store";
    if changes && std::env::var_os("STAND_IN_POLICY").is_some() {
        println!("CertUtil: {verb} command FAILED: 0x80070005 (WIN32: 5 ERROR_ACCESS_DENIED)");
        println!("CertUtil: Access is denied.");
        return ExitCode::from(5);
    }
    match store::run(verb, object) {
        Ok(()) => {
            println!("CertUtil: {verb} command completed successfully.");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            println!("CertUtil: {verb} command FAILED: {reason}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(windows))]
mod store {
    pub(super) fn run(_verb: &str, _object: &str) -> Result<(), String> {
        Err("only Windows has that store".to_owned())
    }
}

#[cfg(windows)]
#[allow(unsafe_code)]
mod store {
    use std::ffi::{c_char, c_void};
    use std::ptr::{null, null_mut};

    const X509_AND_PKCS7: u32 = 0x1_0001;
    const SYSTEM_STORE_WIDE: *const c_char = 10 as *const c_char;
    const CURRENT_USER: u32 = 1 << 16;
    const REPLACE_EXISTING: u32 = 3;
    const BY_SHA1: u32 = 1 << 16;
    const BASE64_WITH_HEADER: u32 = 0;

    /// `CRYPT_HASH_BLOB`.
    #[repr(C)]
    struct Blob {
        length: u32,
        bytes: *const u8,
    }

    #[link(name = "crypt32")]
    unsafe extern "system" {
        fn CertOpenStore(
            kind: *const c_char,
            encoding: u32,
            provider: usize,
            flags: u32,
            name: *const c_void,
        ) -> *mut c_void;
        fn CertAddEncodedCertificateToStore(
            store: *mut c_void,
            encoding: u32,
            bytes: *const u8,
            length: u32,
            disposition: u32,
            context: *mut *const c_void,
        ) -> i32;
        fn CertFindCertificateInStore(
            store: *mut c_void,
            encoding: u32,
            flags: u32,
            by: u32,
            what: *const c_void,
            previous: *const c_void,
        ) -> *const c_void;
        fn CertCloseStore(store: *mut c_void, flags: u32) -> i32;
        fn CryptStringToBinaryA(
            text: *const u8,
            length: u32,
            kind: u32,
            to: *mut u8,
            room: *mut u32,
            skipped: *mut u32,
            flags: *mut u32,
        ) -> i32;
    }

    pub(super) fn run(verb: &str, object: &str) -> Result<(), String> {
        let name: Vec<u16> = "Root\0".encode_utf16().collect();
        // SAFETY: the name ends in a NUL and outlives the call.
        let store = unsafe { CertOpenStore(SYSTEM_STORE_WIDE, 0, 0, CURRENT_USER, name.as_ptr().cast()) };
        if store.is_null() {
            return Err(last_error());
        }
        let done = match verb {
            "-addstore" => add(store, object),
            "-store" => find(store, object).map(|_| ()),
            "-delstore" => find(store, object).and_then(|_| delete(object)),
            _ => Err(format!("{verb} is not known")),
        };
        // SAFETY: the store is open; nothing found in it is used afterwards.
        told(unsafe { CertCloseStore(store, 0) })?;
        done
    }

    fn add(store: *mut c_void, file: &str) -> Result<(), String> {
        let pem = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        let mut der = vec![0; pem.len()];
        let mut length = der.len() as u32;
        // SAFETY: both buffers are as long as is said; what is null is optional.
        told(unsafe {
            CryptStringToBinaryA(
                pem.as_ptr(),
                pem.len() as u32,
                BASE64_WITH_HEADER,
                der.as_mut_ptr(),
                &mut length,
                null_mut(),
                null_mut(),
            )
        })?;
        // SAFETY: the store is open, and the buffer has at least `length` bytes.
        told(unsafe {
            CertAddEncodedCertificateToStore(
                store,
                X509_AND_PKCS7,
                der.as_ptr(),
                length,
                REPLACE_EXISTING,
                null_mut(),
            )
        })
    }

    fn find(store: *mut c_void, thumbprint: &str) -> Result<*const c_void, String> {
        let digits =
            thumbprint.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or_default());
        let bytes: Result<Vec<u8>, _> = digits.map(|pair| u8::from_str_radix(pair, 16)).collect();
        let bytes = bytes.map_err(|error| format!("{thumbprint}: {error}"))?;
        let blob = Blob { length: bytes.len() as u32, bytes: bytes.as_ptr() };
        // SAFETY: the store is open; the blob and its bytes outlive the call.
        let found = unsafe {
            CertFindCertificateInStore(store, X509_AND_PKCS7, 0, BY_SHA1, (&raw const blob).cast(), null())
        };
        if found.is_null() { Err("0x80092004 (-2146885628 CRYPT_E_NOT_FOUND)".to_owned()) } else { Ok(found) }
    }

    /// Wine forgets a deletion when the store is closed: what the store is made of is deleted.
    fn delete(thumbprint: &str) -> Result<(), String> {
        let key = r"HKCU\Software\Microsoft\SystemCertificates\Root\Certificates\".to_owned();
        let key = key + &thumbprint.to_uppercase();
        let ran = std::process::Command::new("reg").args(["delete", &key, "/f"]).output();
        let ran = ran.map_err(|error| format!("reg: {error}"))?;
        if ran.status.success() { Ok(()) } else { Err(format!("reg failed with {}", ran.status)) }
    }

    fn told(answer: i32) -> Result<(), String> {
        if answer == 0 { Err(last_error()) } else { Ok(()) }
    }

    fn last_error() -> String {
        std::io::Error::last_os_error().to_string()
    }
}
