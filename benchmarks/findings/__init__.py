"""Published findings about position encodings, trained again at a small scale.

A *study* trains models and measures them (``text``, ``shape``, ``markov``, ...); a *finding* is what a paper
says, judged by what a study measured. From the root of the project::

    python -m benchmarks.findings text markov     train what is missing, write results/STUDY.json; minutes each
    python -m benchmarks.findings --page          write docs/published-findings.md from them
"""
