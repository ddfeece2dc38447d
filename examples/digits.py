"""A node from a script: `cellnode deploy examples/digits.py` runs it up to the marked cell."""

# %% The state: a trained model, and an image that tells the input's type
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

images, truth = load_digits(return_X_y=True)
model = GaussianNB().fit(images[:1200], truth[:1200])
image = images[1200]

# %% [node] digits --inputs image --outputs label --want 2
label = int(model.predict([image])[0])
