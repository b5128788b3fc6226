//! Tests of the data path across folders: recordings through the gateway and the book.
#![forbid(unsafe_code)]
