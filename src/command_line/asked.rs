//! What stands on the command line.

use core::ffi::CStr;

use crate::{detach::Detach, sys::arguments::MainArguments, text};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Start,
    Stop,
    Restart,
    Reload,
    Status,
    Run,
}

impl Word {
    fn new(argument: &[u8]) -> Option<Self> {
        Some(match argument {
            b"start" => Word::Start,
            b"stop" => Word::Stop,
            b"restart" => Word::Restart,
            b"reload" => Word::Reload,
            b"status" => Word::Status,
            b"run" => Word::Run,
            _ => return None,
        })
    }
}

/// What stands on the command line.
#[derive(Default)]
pub struct Asked<'a> {
    pub word: Option<Word>,
    pub pidfile: Option<&'a CStr>,
    pub user: Option<&'a CStr>,
    pub detach: Option<Detach>,
    pub notify_fd: Option<i32>,
    pub for_help: bool,
}

pub enum Wrong<'a> {
    Unknown(&'a CStr),
    NoValue(&'static [u8]),
    NoDescriptor(&'a CStr),
}

impl<'a> Asked<'a> {
    /// Takes out what is understood.
    #[inline(never)]
    pub fn take(arguments: &mut MainArguments<'a>) -> core::result::Result<Self, Wrong<'a>> {
        let mut asked = Asked::default();
        let mut index = 1;
        let mut may_be_value = false;
        while let Some(argument) = arguments.get(index) {
            let bytes = argument.to_bytes();
            if bytes == b"--" {
                break;
            }
            let is_understood = match bytes {
                b"--foreground" => {
                    asked.detach = Some(Detach::Never);
                    true
                }
                b"--background" => {
                    asked.detach = Some(Detach::Always);
                    true
                }
                b"--help" => {
                    asked.for_help = true;
                    true
                }
                _ if asked.word.is_none() => {
                    asked.word = Word::new(bytes);
                    asked.word.is_some()
                }
                _ => false,
            };
            if is_understood {
                arguments.remove(index);
            } else if let Some(path) = value(b"--pidfile", arguments, index)? {
                asked.pidfile = Some(path);
            } else if let Some(user) = value(b"--user", arguments, index)? {
                asked.user = Some(user);
            } else if let Some(number) = value(b"--notify-fd", arguments, index)? {
                let fd = text::number(number.to_bytes()).and_then(|fd| i32::try_from(fd).ok());
                asked.notify_fd = Some(fd.filter(|&fd| fd > 2).ok_or(Wrong::NoDescriptor(number))?);
            } else {
                let is_option = bytes.starts_with(b"-") && bytes != b"-";
                if !is_option && !may_be_value && asked.word.is_none() {
                    return Err(Wrong::Unknown(argument));
                }
                may_be_value = is_option && !bytes.contains(&b'=');
                index += 1;
                continue;
            }
            may_be_value = false;
        }
        Ok(asked)
    }
}

/// The value of the option that stands here, if it does: then both are taken out.
fn value<'a>(
    name: &'static [u8],
    arguments: &mut MainArguments<'a>,
    index: usize,
) -> core::result::Result<Option<&'a CStr>, Wrong<'a>> {
    let argument = arguments.get(index).unwrap_or_default();
    let value = match argument.to_bytes_with_nul().strip_prefix(name) {
        Some(b"\0") => {
            arguments.remove(index);
            arguments.get(index)
        }
        Some([b'=', rest @ ..]) => CStr::from_bytes_until_nul(rest).ok(),
        _ => return Ok(None),
    };
    arguments.remove(index);
    match value {
        Some(value) if !value.is_empty() => Ok(Some(value)),
        _ => Err(Wrong::NoValue(name)),
    }
}
