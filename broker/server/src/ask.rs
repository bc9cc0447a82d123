//! Asks the broker that runs on a data directory, through its control socket.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use serde_json::Value;

use crate::ops::control::Address;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// No broker runs on this directory; or it does not listen yet, or no longer.
    NobodyThere,
    /// A sentence.
    Refused(String),
}

/// Asks for something that takes long, and waits for its end; `told` hears how far it has come.
///
/// # Errors
/// When nobody is there, or with the sentence that says why it was not done.
pub(crate) fn ask(
    data: &Path,
    path: &str,
    body: &[u8],
    mut told: impl FnMut(&str),
) -> Result<Value, Unanswered> {
    let mut answer = post(data, path, body)?;
    let cut_off = |reason: &dyn std::fmt::Display| {
        Unanswered::Refused(format!("the broker did not finish its answer ({reason}); see its log"))
    };
    let mut line = String::new();
    loop {
        line.clear();
        if answer.read_line(&mut line).map_err(|error| cut_off(&error))? == 0 {
            return Err(cut_off(&"it ended"));
        }
        let mut said: Value = serde_json::from_str(&line).map_err(|error| cut_off(&error))?;
        if let Some(progress) = said["progress"].as_str() {
            told(progress);
        } else if let Some(sentence) = said["failed"].as_str() {
            return Err(Unanswered::Refused(sentence.to_owned()));
        } else {
            return Ok(said["done"].take());
        }
    }
}

/// The body of a good answer.
fn post(data: &Path, path: &str, body: &[u8]) -> Result<BufReader<UnixStream>, Unanswered> {
    let mut stream = Address::of(data)
        .and_then(|address| UnixStream::connect(address.path()))
        .map_err(|error| why_not(data, &error))?;
    // HTTP/1.0: the answer ends with the connection.
    let head =
        format!("POST {path} HTTP/1.0\r\nHost: flotilla\r\nContent-Length: {}\r\n\r\n", body.len());
    let silent = |error: io::Error| {
        Unanswered::Refused(format!("the broker on '{}' does not answer: {error}", data.display()))
    };
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).map_err(silent)?;
    let mut answer = BufReader::new(stream);
    let mut status = String::new();
    answer.read_line(&mut status).map_err(silent)?;
    let status = status.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if answer.read_line(&mut line).map_err(silent)? == 0 {
            return Err(silent(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    if status == "200" {
        return Ok(answer);
    }
    let mut sentence = String::new();
    io::Read::read_to_string(&mut answer, &mut sentence).map_err(silent)?;
    Err(Unanswered::Refused(sentence.trim_end().to_owned()))
}

fn why_not(data: &Path, error: &io::Error) -> Unanswered {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Unanswered::NobodyThere,
        io::ErrorKind::PermissionDenied => Unanswered::Refused(format!(
            "you may not ask the broker on '{}': do it as the user who runs it",
            data.display()
        )),
        _ => Unanswered::Refused(format!(
            "the control socket in '{}' cannot be used: {error}",
            data.display()
        )),
    }
}
