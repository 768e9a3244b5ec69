"""The time machine: what would have been forecast at past moments, beside the rules everybody uses.

    plan ──► run ──► origin ──► store ──► figures ──► facts ──► page, screen, MLflow
             │        one moment: fit, forecast, and what came
             └ parallel processes; finished moments are not done again

An origin is a moment in a quarter from which that quarter is forecast. Everything said at it was learnt from
what had been recorded before it; what came is joined afterwards and touches nothing that was said.
"""
