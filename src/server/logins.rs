//! The password file: read at the start, and again whenever the operator says so.
//!
//! It is read as the user that the server runs as, who must be able to read it again later. A file
//! that cannot be read, or not all of it, changes nothing: the previous users remain, and the log
//! says why. Clients that are logged in stay so; a password that is withdrawn bars new logins only.

use crate::base::credentials::{Credentials, LINE_LEN_MAX, USERS_MAX};
use crate::base::settings::Settings;
use crate::server::failure::Failure;
use crate::session::Shared;
use log::{error, info, warn};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Exit code for a password file that cannot be used.
const EXIT_BAD_FILE: u8 = 1;

/// Bytes of a file at most: every line full, and as many empty ones.
const FILE_LEN_MAX: u64 = (USERS_MAX * (LINE_LEN_MAX + 4)) as u64;

/// Permissions of those who are neither owner nor group: to read and to write.
const OTHERS: u32 = 0o006;

/// The users of the file that `settings` names; nobody, if it names none.
pub(crate) fn load(settings: &Settings) -> Result<Credentials, Failure> {
    let Some(path) = settings.login_file() else {
        return Ok(Credentials::default());
    };
    read(path).map_err(|why| Failure::new(EXIT_BAD_FILE, format!("\"{}\": {why}", path.display())))
}

/// Reads the file again, for logins from now on.
pub(crate) fn reload(shared: &Shared) {
    let Some(path) = shared.settings.login_file() else {
        info!("SIGHUP: no password file to read again");
        return;
    };
    match read(path) {
        Ok(credentials) => {
            let count = credentials.count();
            info!("SIGHUP: \"{}\": users: {count}", path.display());
            shared.logins.replace(credentials);
        }
        Err(why) => error!(
            "SIGHUP: \"{}\": {why}; the previous users remain",
            path.display()
        ),
    }
}

fn read(path: &Path) -> Result<Credentials, String> {
    let text = read_bytes(path).map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_LEN_MAX {
        return Err(format!("longer than {FILE_LEN_MAX} bytes"));
    }
    Credentials::parse(&text).map_err(|error| error.to_string())
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if file.metadata()?.permissions().mode() & OTHERS != 0 {
        warn!("\"{}\": others can read or change it", path.display());
    }
    let mut text = vec![];
    file.take(FILE_LEN_MAX + 1).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, fs, process};

    fn settings(text: &[u8], name: &str) -> Settings {
        let path = env::temp_dir().join(format!("nuthatch-logins-{name}-{}", process::id()));
        fs::write(&path, text).unwrap();
        Settings {
            auth_file: Some(path),
            ..Settings::default()
        }
    }

    #[test]
    fn without_a_file_nobody_can_log_in() {
        assert_eq!(load(&Settings::default()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_named_with_its_fault() {
        for (name, text, why) in [
            ("empty", &b""[..], "no user:password line"),
            ("colon", b"a:b\nc", "line 2: no colon"),
            ("long", &vec![b'\n'; 1 << 20], "longer than"),
        ] {
            let settings = settings(text, name);
            let failure = load(&settings).unwrap_err();
            assert_eq!(failure.code, 1);
            assert!(failure.message.contains(why), "{failure}");
            assert!(failure.message.contains(name), "{failure}");
            fs::remove_file(settings.auth_file.unwrap()).unwrap();
        }
        let settings = Settings {
            sasl_file: Some("/no/such/file".into()),
            ..Settings::default()
        };
        assert!(load(&settings).is_err());
    }
}
