//! A value that most of those who may have one have not.

/// Takes one pointer until it is needed: there are a million sessions.
#[derive(Clone, Debug)]
pub(crate) struct Rare<T>(Option<Box<T>>);

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Default> Rare<T> {
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// Makes one if there is none.
    pub(crate) fn need(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }

    /// There is none any more.
    pub(crate) fn drop(&mut self) {
        self.0 = None;
    }
}

impl<T> From<T> for Rare<T> {
    fn from(value: T) -> Self {
        Self(Some(Box::new(value)))
    }
}
