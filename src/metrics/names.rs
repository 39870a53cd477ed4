//! One constant per metric.
