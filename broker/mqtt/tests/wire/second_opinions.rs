//! What other codecs say.
