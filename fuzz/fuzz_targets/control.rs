//! Bytes of a client for a control socket that is served in this process. The first one says in pieces of which size
//! they come.
//!
//!     RUSTC_BOOTSTRAP=1 cargo fuzz run control /tmp/corpus fuzz/corpus/control -- -max_len=16384 -max_total_time=60

#![no_main]

use std::{
    ffi::{CString, c_void},
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    ptr,
    sync::OnceLock,
};

use libfuzzer_sys::fuzz_target;

fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = std::env::temp_dir().join(format!("rsdaemon-fuzz-{}", std::process::id()));
        let path = CString::new(name.to_str().unwrap()).unwrap();
        // SAFETY: C strings, and a function that takes what it is called with.
        unsafe {
            rsdaemon::rsd_flag_signal(15, ptr::null_mut(), 1); // the command stop
            assert_eq!(rsdaemon::rsd_open_control(path.as_ptr(), 0, ptr::null()), 0);
            let call = Some(callback as unsafe extern "C" fn(_, _));
            rsdaemon::rsd_control_query(c"words".as_ptr(), ptr::null(), call, ptr::null_mut());
        }
        name.to_str().unwrap().to_owned()
    })
}

unsafe extern "C" fn callback(request: *mut rsdaemon::rsd_control_request, _: *mut c_void) {
    // SAFETY: the library hands a request over whose words live as long as this call.
    unsafe {
        let request = &mut *request;
        for number in 0..request.argc as usize {
            let word = *request.argv.add(number);
            rsdaemon::rsd_control_fail(request, word);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let mut client = UnixStream::connect(name()).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut answers = Vec::new();
    let mut piece = [0; 4096];
    for part in bytes.chunks(usize::from(*size) * 16 + 1) {
        let _ = client.write(part);
        rsdaemon::rsd_dispatch();
    }
    let _ = client.shutdown(Shutdown::Write);
    for _ in 0..100_000 {
        rsdaemon::rsd_dispatch();
        match client.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => answers.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    // Lines of text, and at the end one that says how it went.
    assert!(answers.is_empty() || answers.ends_with(b"\n"));
    for line in answers.split(|&byte| byte == b'\n') {
        assert!(
            [&b" "[..], b"ok", b"error "].iter().any(|start| line.starts_with(start))
                || line.is_empty()
        );
    }
});
