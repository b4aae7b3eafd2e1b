"""What looks inside a run: lenses, attention, relevancy, interventions, projections."""
