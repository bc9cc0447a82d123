//! Looks at the log of a store that no broker has open.

use std::path::Path;

use rocksdb::DB;

use super::cleaner::unix_ms;
use super::lock::ClosedStore;
use super::open::open_read_only;
use super::options::Options;
use super::segments::sealed_end;
use super::unreadable;
use crate::clean::backlog::{self, Backlog};
use crate::clean::{Area, Moment, Survey};
use crate::error::Error;
use crate::{keys, partition};

/// As [`Rocks::backlog`](super::Rocks::backlog), for a store that no broker has open. Nothing is
/// changed. Reads what is not sealed yet, too.
///
/// # Errors
/// When there is no store, when a broker uses it, or when something cannot be read.
pub fn backlog_closed(
    dir: &Path,
    options: &Options,
    most: Option<usize>,
) -> Result<Backlog, Error> {
    let _closed = ClosedStore::hold(dir)?;
    let db = open_read_only(dir, false)?;
    if keys::FAMILIES.iter().any(|name| db.cf_handle(name).is_none()) {
        // It was never opened to its end.
        return Err(Error::NoStore { dir: dir.to_path_buf() });
    }
    let families = DB::list_cf(&rocksdb::Options::default(), dir).map_err(unreadable)?;
    let moment = Moment::of(&db);
    let names = families.iter().filter_map(|family| partition::name_in(family).flatten());
    let named =
        names.map(|name| Area { name: Some(name.into()), family: partition::family(name).into() });
    let areas: Vec<Area> =
        [Area { name: None, family: keys::LOG.into() }].into_iter().chain(named).collect();
    let open = Survey::open_shares(&moment, &areas, sealed_end(&db))?;
    let survey = Survey::take(&moment, areas, &open)?;
    let unix_ms = unix_ms();
    let allowed = options.rules().at(unix_ms);
    backlog::report(&moment, &survey, allowed, unix_ms, most, || false)
}
