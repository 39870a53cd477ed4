//! Query parameters: first occurrence wins, form decoding, Java's number rules (API 1.4).
