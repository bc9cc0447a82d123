//! `flotilla-certs`: certificates for a development fleet from the command line.

mod cli;
mod log;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use flotilla_certs::{
    Authority, CERTIFICATE_FILE, CRL_FILE, Entry, Error, INDEX_FILE, Index, Issued, KEY_FILE, Kind,
    refuse_existing,
};

use crate::cli::{Ca, Cli, Command, Device, Revoke, Server};

fn main() -> ExitCode {
    // Wrong usage ends here, with exit code 2.
    let cli = Cli::parse();
    log::start(cli.log_level, cli.log_format);
    let done = match cli.command {
        Command::Ca(ca) => make_authority(&ca),
        Command::Server(server) => make_server(&server),
        Command::Device(device) => make_devices(&device),
        Command::Revoke(revoke) => revoke_names(&revoke),
    };
    match done {
        Ok(said) => {
            // A closed pipe is no reason to fail: what was asked for is done.
            let _ = io::stdout().write_all(said.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn make_authority(ca: &Ca) -> Result<String, Error> {
    let authority = Authority::generate(&ca.name, ca.days)?;
    authority.save(&ca.dir)?;
    let dir = ca.dir.display();
    Ok(format!(
        "made the authority '{}', good for {} days\n  {dir}/{CERTIFICATE_FILE}  give it to every \
         client and server\n  {dir}/{KEY_FILE}  keep it secret\n  {dir}/{CRL_FILE}  revocation \
         list, empty\n",
        ca.name, ca.days
    ))
}

fn make_server(server: &Server) -> Result<String, Error> {
    let name = server.out.as_str();
    refuse_existing(&server.dir, name)?;
    let authority = Authority::load(&server.dir)?;
    let issued = authority.issue_server(&server.names, server.days)?;
    Index::open(&server.dir)?.issue(vec![Entry::new(&issued, Kind::Server, name)])?;
    issued.save(&server.dir, name)?;
    tracing::debug!(name, serial = %issued.serial, "issued");
    let dir = server.dir.display();
    Ok(format!(
        "made a server certificate for {}\n  {dir}/{name}.pem\n  {dir}/{name}.key\n",
        server.names.join(", ")
    ))
}

fn make_devices(device: &Device) -> Result<String, Error> {
    let names = device.names();
    let devices = device.dir.join("devices");
    for name in &names {
        refuse_existing(&devices, name)?;
    }
    let authority = Authority::load(&device.dir)?;
    let issued = names
        .iter()
        .map(|name| authority.issue_device(name, device.days))
        .collect::<Result<Vec<Issued>, _>>()?;
    let entries = names.iter().zip(&issued).map(|(name, it)| Entry::new(it, Kind::Device, name));
    Index::open(&device.dir)?.issue(entries.collect())?;
    for (name, issued) in names.iter().zip(&issued) {
        issued.save(&devices, name)?;
        tracing::debug!(name, serial = %issued.serial, "issued");
    }
    let (first, last) = (&names[0], &names[names.len() - 1]);
    let range = if names.len() == 1 { first.clone() } else { format!("{first} … {last}") };
    Ok(format!(
        "made {} device certificate{} ({range})\n  {dir}/NAME.pem\n  {dir}/NAME.key\n",
        names.len(),
        if names.len() == 1 { "" } else { "s" },
        dir = devices.display()
    ))
}

fn revoke_names(revoke: &Revoke) -> Result<String, Error> {
    let authority = Authority::load(&revoke.dir)?;
    let revoked = authority.revoke(&revoke.dir, &revoke.names)?;
    if revoked.newly == 0 && !revoke.names.is_empty() {
        let index = revoke.dir.join(INDEX_FILE);
        tracing::warn!("already revoked according to {}", index.display());
    }
    Ok(format!(
        "revoked {} certificate{}, {} in the list\n  {}  give it to every server, and let it reload\n",
        revoked.newly,
        if revoked.newly == 1 { "" } else { "s" },
        revoked.total,
        revoke.dir.join(CRL_FILE).display()
    ))
}
