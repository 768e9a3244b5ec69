"""The whole job on data we did not make up.

An adapter turns the raw files of a public data set into our tables; a protocol splits them by time, fits,
forecasts and measures beside baselines and peers. The raw files are read where they are and never copied.

    python -m benchmarks.real prepare maven_crm DIR
    python -m benchmarks.accuracy bpic2012 maven_crm --docs docs
"""
