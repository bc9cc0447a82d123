//! `flotilla passwd`: asks for a password, writes its hash.

use std::{
    io::{self, BufRead, IsTerminal},
    path::Path,
    process::ExitCode,
};

use crate::{
    FAILURE, WRONG,
    auth::{self, Kind, PasswordFileError},
    print, refuse,
};

/// Adds a user to the file, or changes the password.
pub(crate) fn run(file: &Path, user: &str, kind: Kind) -> ExitCode {
    let password = match ask(user) {
        Ok(password) => password,
        Err(error) => return refuse(FAILURE, &format!("no password: {error}")),
    };
    match auth::put(file, user, password.as_bytes(), kind) {
        Ok(was_there) => {
            let what = if was_there { "has a new password" } else { "was added" };
            print(&format!("{user} {what} in {}\n", file.display()))
        }
        Err(error @ (PasswordFileError::Name { .. } | PasswordFileError::EmptyPassword)) => {
            refuse(WRONG, &error)
        }
        Err(error) => refuse(FAILURE, &error),
    }
}

/// From a terminal twice, without echo; from anything else its first line.
fn ask(user: &str) -> io::Result<String> {
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let first = rpassword::prompt_password(format!("Password of {user}: "))?;
    if rpassword::prompt_password("Once more: ")? == first {
        Ok(first)
    } else {
        Err(io::Error::other("the two are not the same; nothing was changed"))
    }
}
